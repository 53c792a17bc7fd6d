import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { request } from 'node:http'
import process from 'node:process'
import type { StatusView } from '../../../api/answers.ts'
import { isLoopback } from '../../../gateway/egress.ts'
import type { Io } from '../../io.ts'
import { closed, notClosed } from '../finding.ts'
import type { Finding } from '../finding.ts'

const ASK_MILLISECONDS = 700
/** Bit of SIGUSR1 (10) in the masks of proc_pid_status(5). */
const SIGUSR1_BIT = 0x200n
const again = 'Stop the server (`keyward down`) and start it by the `keyward` command.'

/** What the running server lets others do to it, read where the kernel says so (Linux). */
export async function checkServer(io: Io, status: StatusView): Promise<Finding[]> {
  const told = [checkAddress(status), tellStore(status)]
  if (process.platform !== 'linux') {
    return [
      ...told,
      notClosed(
        'unproven',
        'server-process',
        'server',
        'the server’s process cannot be looked at here',
        'Only Linux shows what is needed.',
      ),
    ]
  }
  try {
    return [...told, ...(await checkProcess(io, status.processId))]
  } catch {
    return [
      ...told,
      notClosed(
        'unproven',
        'server-process',
        'server',
        'the server’s process cannot be looked at',
        'Run doctor as the user who started the server.',
      ),
    ]
  }
}

async function checkProcess(io: Io, id: number): Promise<Finding[]> {
  const inspector = await inspectorOf(id)
  const flags = readTexts(id, 'cmdline').filter((text) => /^--(?:inspect|debug)/.test(text))
  const masks = readFileSync(`/proc/${id}/status`, 'latin1')
  const deaf = ['SigBlk', 'SigIgn'].some((name) => (maskOf(masks, name) & SIGUSR1_BIT) !== 0n)
  return [
    inspector === null && flags.length === 0
      ? closed('server-debugger', 'server', 'no debugger listens in the server')
      : notClosed(
          'broken',
          'server-debugger',
          'server',
          'a debugger listens in the server',
          again,
          inspector === null ? flags.join(' ') : `port ${inspector}`,
        ),
    deaf
      ? await provenDeaf(id)
      : notClosed(
          'broken',
          'server-debugger-signal',
          'server',
          'a signal opens a debugger in the server (SIGUSR1)',
          again,
        ),
    coreDump(id),
    await checkVariables(io, id),
  ]
}

/** The kernel says that the signal does not get through, so it may be sent. */
async function provenDeaf(id: number): Promise<Finding> {
  process.kill(id, 'SIGUSR1')
  const port = await inspectorOf(id)
  return port === null
    ? closed('server-debugger-signal', 'server', 'no signal opens a debugger in the server', 'SIGUSR1 was sent')
    : notClosed(
        'broken',
        'server-debugger-signal',
        'server',
        'a signal opens a debugger in the server (SIGUSR1)',
        again,
        `port ${port}`,
      )
}

/** Core dumps to a pipe do not ask for the limit, so what counts there is what may stand in them (core(5)). */
function coreDump(id: number): Finding {
  const limit = /^Max core file size +(\S+)/m.exec(readFileSync(`/proc/${id}/limits`, 'latin1'))?.[1]
  const filter = Number.parseInt(readFileSync(`/proc/${id}/coredump_filter`, 'latin1'), 16)
  const piped = readFileSync('/proc/sys/kernel/core_pattern', 'latin1').startsWith('|')
  if (filter === 0)
    return closed('server-core-dump', 'server', 'a core dump of the server would hold none of its memory')
  if (limit === '0' && !piped)
    return closed('server-core-dump', 'server', 'the server leaves no core dump', 'its limit is 0')
  const remedy = piped
    ? 'Start it by the `keyward` command, or set `Storage=none` in /etc/systemd/coredump.conf.'
    : 'Start it by the `keyward` command, or after `ulimit -c 0`.'
  return notClosed('broken', 'server-core-dump', 'server', 'a core dump of the server would hold its secrets', remedy)
}

async function checkVariables(io: Io, id: number): Promise<Finding> {
  const texts = [...readTexts(id, 'environ'), ...readTexts(id, 'cmdline')]
  const { found } = await io.client().call('POST /occurrences', {}, { texts })
  const names = texts
    .filter((_, index) => found[index] === true)
    .map((text) => /^(\w+)=/.exec(text)?.[1] ?? 'an argument')
  const login = texts.some((text) => /^KEYWARD_DATABASE_URL=postgres(?:ql)?:\/\/[^/@]*:[^/@]/.test(text))
  if (names.length === 0 && login) {
    return notClosed(
      'open',
      'server-variables',
      'server',
      'the server’s variables hold the password of its database',
      'Reach the database by a Unix socket with `peer` authentication, or run agents contained.',
    )
  }
  if (names.length === 0) return closed('server-variables', 'server', 'the server’s variables hold no secret')
  return notClosed(
    'broken',
    'server-variables',
    'server',
    'the server’s variables hold a secret',
    again,
    names.join(', '),
  )
}

function tellStore({ store }: StatusView): Finding {
  const where = store.startsWith('postgres:') ? 'in PostgreSQL' : 'in the home'
  return closed('store', 'server', `the records are ${where}`, store)
}

function checkAddress(status: StatusView): Finding {
  const host = status.gateway.slice(0, status.gateway.lastIndexOf(':')).replace(/^\[|\]$/g, '')
  const listening = process.platform === 'linux' ? listeningPorts(status.processId) : []
  const others = listening.filter((one) => !isLoopback(one.host)).map((one) => `${one.host}:${one.port}`)
  if (isLoopback(host) && others.length === 0) {
    return closed('server-address', 'server', 'it listens on loopback only', status.gateway)
  }
  const where = others.length > 0 ? others.join(', ') : status.gateway
  return notClosed(
    'broken',
    'server-address',
    'server',
    'it listens on more than loopback, without TLS',
    'Set the gateway’s address to 127.0.0.1 (`keyward config show`).',
    where,
  )
}

function readTexts(id: number, name: string): string[] {
  return readFileSync(`/proc/${id}/${name}`, 'utf8')
    .split('\0')
    .filter((text) => text !== '')
}

function maskOf(status: string, name: string): bigint {
  return BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
}

/** The port on which a debugger of this process answers. */
export async function inspectorOf(id: number): Promise<number | null> {
  const ports = [...new Set(listeningPorts(id).map((one) => one.port))]
  const answers = await Promise.all(ports.map(isInspector))
  return ports.find((_, index) => answers[index] === true) ?? null
}

/** TCP sockets on which the process listens: its descriptors joined with /proc/net/tcp (proc_net(5); state 0A listens). */
function listeningPorts(id: number): { host: string; port: number }[] {
  try {
    const inodes = new Set(
      readdirSync(`/proc/${id}/fd`).flatMap((name) => {
        try {
          return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${id}/fd/${name}`))?.[1] ?? []
        } catch {
          return []
        }
      }),
    )
    return ['tcp', 'tcp6'].flatMap((table) =>
      readFileSync(`/proc/${id}/net/${table}`, 'latin1')
        .split('\n')
        .slice(1)
        .flatMap((line) => {
          const fields = line.trim().split(/\s+/)
          const [host = '', port = ''] = (fields[1] ?? '').split(':')
          if (fields[3] !== '0A' || !inodes.has(fields[9] ?? '')) return []
          return [{ host: addressOf(host), port: Number.parseInt(port, 16) }]
        }),
    )
  } catch {
    return []
  }
}

/** The kernel writes IPv4 addresses backwards; of IPv6 only the two that matter are told apart. */
function addressOf(hex: string): string {
  if (hex.length === 8)
    return (hex.match(/../g) ?? [])
      .toReversed()
      .map((byte) => Number.parseInt(byte, 16))
      .join('.')
  return /^0{24}0?1?0{5,7}1?$/.test(hex) && hex.endsWith('01000000') ? '::1' : '::'
}

function isInspector(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = request({ host: '127.0.0.1', port, path: '/json/version', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk.slice(0, 4096)))
      response.on('end', () => resolve(text.includes('Protocol-Version')))
    })
    asking.setTimeout(ASK_MILLISECONDS, () => asking.destroy())
    asking.on('error', () => resolve(false))
    asking.end()
  })
}
