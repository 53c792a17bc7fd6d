import { tmpdir } from 'node:os'
import process from 'node:process'
import { createControlClient } from '../client/control-client.ts'
import type { ControlClient } from '../client/control-client.ts'
import { readConfig } from '../config.ts'
import { KeywardError } from '../core/errors.ts'
import { controlSocketPath } from '../core/socket-path.ts'
import { remoteServer, serverOf } from './stored-logins.ts'

/** What the process gives to a command line; tests bring their own. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly workingDirectory: string
  /** The script that this process runs, by which a server of its own is started. */
  readonly entry: string
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

/** What a command may touch. */
export interface Io extends Surroundings {
  /** Absolute path of the home. */
  readonly home: string
  readonly controlSocket: string
  /** A person can be asked: input and the place of questions are a terminal. */
  readonly interactive: boolean
  /** The server elsewhere that was named, or null: that of the home. */
  readonly server: URL | null
  /** Whether a flag named it, and not a variable. */
  readonly serverNamed: boolean
  client(): ControlClient
}

/** One command as it was typed. `Options` mirrors what the grammar declares. */
export interface Call<Options = object> {
  readonly io: Io
  readonly args: readonly string[]
  readonly options: Options
}

/** Of every command that lists or shows. */
export interface JsonOption {
  readonly json?: boolean
}

/** Of every command about one environment. */
export interface EnvironmentOption {
  readonly env: string
}

export function openIo(surroundings: Surroundings, serverFlag?: string): Io {
  const { home } = readConfig({}, surroundings.environment).config
  const controlSocket = controlSocketPath(home, tmpdir(), process.getuid?.() ?? 0)
  const server = serverOf(serverFlag ?? surroundings.environment['KEYWARD_SERVER'])
  return {
    ...surroundings,
    home,
    server,
    serverNamed: serverFlag !== undefined,
    controlSocket,
    interactive: surroundings.stdin.isTTY === true && surroundings.stderr.isTTY === true,
    client: () => createControlClient(server === null ? controlSocket : remoteServer(server, surroundings.environment)),
  }
}

/** On this machine, whatever server was named: for what needs the home itself. Throws `usage` where one was named by a flag. */
export function atHome(io: Io): Io {
  if (io.server === null) return io
  if (io.serverNamed) throw new KeywardError('usage', '--server goes with a login of a machine, as by --token-file.')
  return { ...io, server: null, client: () => createControlClient(io.controlSocket) }
}

/** The first argument; the grammar has already refused a call without it. */
export function firstOf(args: readonly string[]): string {
  return args[0] ?? ''
}
