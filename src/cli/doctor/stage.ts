import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { ListenOptions } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { StatusView } from '../../api/answers.ts'
import type { Config } from '../../config.ts'
import { defaultHidden, programFolders } from '../../containment/hidden.ts'
import type { HiddenPaths } from '../../containment/hidden.ts'
import { startTicksOf } from '../../identity/process.ts'
import { databaseFile } from '../../stores/index.ts'
import type { Io } from '../io.ts'
import { logPath } from '../log-path.ts'
import type { Places, ProcessPlace } from './inside/places.ts'

const LEFT_BEHIND_AFTER_MILLISECONDS = 120_000

/** What stands around the agent for the time of the trial: everything that it must not reach, or a stand-in for it. */
export interface Stage {
  /** The agent's working directory. */
  readonly work: string
  /** The stand-ins, to be hidden like the real ones. */
  readonly hide: HiddenPaths
  readonly readOnly: readonly string[]
  readonly places: Omit<Places, 'gateway' | 'service' | 'placeholder' | 'token' | 'forms'>
  remove(): void
}

export async function setStage(io: Io, config: Config, status: StatusView): Promise<Stage> {
  const undo: (() => void)[] = []
  const remove = (): void => {
    for (const one of undo.splice(0).toReversed()) one()
  }
  try {
    const scratch = mkdtempSync(join(realpathSync(tmpdir()), 'keyward-doctor-'))
    undo.push(() => rmSync(scratch, { recursive: true, force: true }))
    const work = join(scratch, 'work')
    mkdirSync(work, { mode: 0o700 })
    const fileMark = randomBytes(16).toString('hex')
    removeLeftBehind(io.home, /^doctor-[0-9a-f]{12}$/)
    if (existsSync('/dev/shm')) removeLeftBehind('/dev/shm', /^keyward-doctor-[0-9a-f]{12}$/)
    const canaryFile = join(io.home, `doctor-${fileMark.slice(0, 12)}`)
    undo.push(() => rmSync(canaryFile, { force: true }))
    writeFileSync(canaryFile, fileMark, { mode: 0o600, flag: 'wx' })
    // Where the database is not in the home, another file there stands for it.
    const database = existsSync(databaseFile(io.home)) ? databaseFile(io.home) : canaryFile
    symlinkSync(database, join(work, 'link'))
    symlinkSync(io.home, join(work, 'directory-link'))
    const login = join(scratch, 'login')
    writeFileSync(login, fileMark, { mode: 0o600 })
    const programs = join(scratch, 'programs')
    mkdirSync(programs, { mode: 0o700 })
    const sharedFile = existsSync('/dev/shm') ? `/dev/shm/keyward-doctor-${fileMark.slice(0, 12)}` : null
    if (sharedFile !== null) {
      undo.push(() => rmSync(sharedFile, { force: true }))
      writeFileSync(sharedFile, fileMark, { mode: 0o600, flag: 'wx' })
    }
    const agentSocket = join(scratch, 'agent.sock')
    await listen({ path: agentSocket }, undo)
    const known = defaultHidden(homedir(), io.environment)
    const hide = defaultHidden(scratch, { SSH_AUTH_SOCK: agentSocket, NETRC: login })
    const abstractSocket = `\0keyward-doctor-${createHash('sha256').update(fileMark).digest('hex')}`
    if (process.platform === 'linux') await listen({ path: abstractSocket }, undo)
    const processMark = randomBytes(16).toString('hex')
    const all = [...known.files, ...known.directories]
    return {
      work,
      readOnly: programFolders({ PATH: programs }, work),
      hide: { directories: [], files: hide.files.filter((path) => path.startsWith(scratch)) },
      places: {
        home: io.home,
        database,
        journal: lastSegment(join(io.home, 'journal', config.node)),
        log: logPath(io.home),
        canaryFile,
        fileMark,
        keyFile: config.passphraseFile ?? config.rootKeyFile,
        controlSocket: io.controlSocket,
        link: join(work, 'link'),
        directoryLink: join(work, 'directory-link'),
        server: processPlace(status.processId),
        serverParent: processPlace(parentOf(status.processId)),
        standIn: processPlace(startStandIn(processMark, undo)),
        processMark,
        sockets: [agentSocket, ...all.filter((path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === true)],
        sharedFile,
        programs,
        logins: [login, ...all.filter((path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === false)],
        tcpPort: await listen({ host: '127.0.0.1', port: 0 }, undo),
        udpPort: await echoDatagrams((bytes) => bytes, undo),
        resolverPort: await echoDatagrams(resolved, undo),
        abstractSocket,
      },
      remove,
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** Files of a doctor that was killed. */
function removeLeftBehind(folder: string, pattern: RegExp): void {
  for (const name of readdirSync(folder).filter((one) => pattern.test(one))) {
    const path = join(folder, name)
    const { mtimeMs, uid } = statSync(path)
    const own = uid === process.getuid?.()
    if (own && mtimeMs < Date.now() - LEFT_BEHIND_AFTER_MILLISECONDS) rmSync(path, { force: true })
  }
}

function processPlace(processId: number): ProcessPlace {
  return { processId, startTicks: startTicksOf(processId) ?? 'gone' }
}

/** Field 4 of proc_pid_stat(5); 0 where the platform does not say. */
function parentOf(processId: number): number {
  try {
    const text = readFileSync(`/proc/${processId}/stat`, 'latin1')
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return 0
  }
}

function lastSegment(directory: string): string {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.jsonl'))
    return join(directory, names.toSorted().at(-1) ?? '')
  } catch {
    return directory
  }
}

/** A process of the same user that has something to hide. */
function startStandIn(mark: string, undo: (() => void)[]): number {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], {
    env: { KEYWARD_DOCTOR_MARK: mark },
    stdio: 'ignore',
  })
  child.on('error', () => undefined)
  undo.push(() => child.kill('SIGKILL'))
  return child.pid ?? 0
}

function listen(target: ListenOptions, undo: (() => void)[]): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).end())
  undo.push(() => server.close())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(target, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}

function echoDatagrams(answer: (bytes: Buffer) => Buffer, undo: (() => void)[]): Promise<number> {
  const socket = createSocket('udp4')
  undo.push(() => socket.close())
  socket.on('message', (bytes, from) => socket.send(answer(bytes), from.port, from.address))
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(0, '127.0.0.1', () => resolve(socket.address().port))
  })
}

/** Answers any question for an address with 192.0.2.1 (RFC 1035, section 4.1; the name is pointed at, not repeated). */
function resolved(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5
  const head = Buffer.from(question.subarray(0, 12))
  head.writeUInt16BE(0x8180, 2)
  head.writeUInt16BE(1, 6)
  head.fill(0, 8)
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1])
  return Buffer.concat([head, question.subarray(12, end), record])
}
