import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs'
import process from 'node:process'
import { eachProcess } from './files.ts'
import { Untried } from './places.ts'
import type { Attempt, Places, ProcessPlace } from './places.ts'

/** Ways into the memory of other processes. Reading `mem` asks the kernel what ptrace asks. */
export function processAttempts(places: Places): Record<string, Attempt> {
  const { server, serverParent, standIn, processMark } = places
  return {
    'server-listed': () => isThere(server),
    'server-environ': () => isThere(server) && opens(`/proc/${server.processId}/environ`),
    'server-memory': () => isThere(server) && readsMemory(server),
    'server-maps': () => isThere(server) && opens(`/proc/${server.processId}/maps`),
    'server-descriptors': () => isThere(server) && readsLinks(`/proc/${server.processId}/fd`),
    'server-root': () => isThere(server) && readdirSync(`/proc/${server.processId}/root/`).length > 0,
    'server-parent': () =>
      isThere(serverParent) && (opens(`/proc/${serverParent.processId}/environ`) || readsMemory(serverParent)),
    'server-signal': () => isThere(server) && mayBeSignalled(server),
    'other-environ': () => eachProcess((id) => readFileSync(`/proc/${id}/environ`, 'latin1').includes(processMark)),
    'other-memory': () => isThere(standIn) && readsMemory(standIn),
    'other-descriptors': () => isThere(standIn) && readsLinks(`/proc/${standIn.processId}/fd`),
    'own-descriptors': () => inheritedFiles(),
    'own-privileges': () => {
      const status = readFileSync('/proc/self/status', 'latin1')
      return !/^CapEff:\t0+$/m.test(status) || !/^NoNewPrivs:\t1$/m.test(status)
    },
    'own-core-dump': () => !/^Max core file size +0 +0 /m.test(readFileSync('/proc/self/limits', 'latin1')),
  }
}

/** Own variables, as the kernel holds them too, and arguments. */
export function ownTexts(): string[] {
  const kernel = ['environ', 'cmdline'].flatMap((name) => {
    try {
      return readFileSync(`/proc/self/${name}`, 'utf8').split('\0')
    } catch {
      return []
    }
  })
  const node = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`)
  return [...new Set([...kernel, ...node, ...process.argv, ...process.execArgv])].filter((text) => text !== '')
}

/** Whether /proc shows this very process: an id alone may mean another one in here. */
function isThere(place: ProcessPlace): boolean {
  try {
    const stat = readFileSync(`/proc/${place.processId}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === place.startTicks
  } catch {
    return false
  }
}

function opens(path: string): boolean {
  const file = openSync(path, 'r')
  try {
    return readSync(file, Buffer.alloc(1), 0, 1, null) === 1
  } finally {
    closeSync(file)
  }
}

function readsMemory(place: ProcessPlace): boolean {
  const maps = readFileSync(`/proc/${place.processId}/maps`, 'latin1')
  const from = /^([0-9a-f]+)-[0-9a-f]+ r/m.exec(maps)?.[1]
  if (from === undefined) return false
  const memory = openSync(`/proc/${place.processId}/mem`, 'r')
  try {
    return readSync(memory, Buffer.alloc(1), 0, 1, BigInt(`0x${from}`)) === 1
  } finally {
    closeSync(memory)
  }
}

function readsLinks(directory: string): boolean {
  return readdirSync(directory).some((name) => readlinkSync(`${directory}/${name}`) !== '')
}

/** Signal 0 asks for the permission and sends nothing. */
function mayBeSignalled(place: ProcessPlace): boolean {
  if (readlinkSync('/proc/self') !== String(process.pid)) throw new Untried('/proc shows other ids than signals use')
  return process.kill(place.processId, 0)
}

/** Files that stand open because whoever started Keyward left them open. */
function inheritedFiles(): string | false {
  const found = readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const path = `/proc/self/fd/${name}`
      return Number(name) > 2 && statSync(path).isFile() && !readlinkSync(path).startsWith('/proc/')
        ? [readlinkSync(path)]
        : []
    } catch {
      return []
    }
  })
  return found.length > 0 ? found.join(', ') : false
}
