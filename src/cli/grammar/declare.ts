import { Option } from 'commander'
import type { Command } from 'commander'
import type { Call, Io } from '../io.ts'

/** What a declared command needs of its surroundings: the process, read when a command is called, and where its exit code goes. */
export interface Stage {
  /** `server`: the one elsewhere that was named by a flag. */
  open(server?: string): Promise<Io>
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  finish(exitCode: number): void
}

type Perform<Options> = (call: Call<Options>) => Promise<number | void> | number | void

/**
 * Lets `load` bring the code of a command when it is called, and not before: `keyward --help` loads
 * none. `Options` mirrors the options declared on `command`.
 */
export function perform<Options>(command: Command, stage: Stage, load: () => Promise<Perform<Options>>): Command {
  return command.action(async () => {
    const { server } = command.opts<{ server?: string }>()
    const [io, act] = await Promise.all([stage.open(server), load()])
    const result = await act({ io, args: command.args, options: command.opts<Options & object>() })
    stage.finish(typeof result === 'number' ? result : 0)
  })
}

export const environmentOption = (): Option => new Option('--env <environment>', 'the environment').default('dev')
export const anyEnvironmentOption = (): Option => new Option('--env <environment>', 'only this environment')
export const jsonOption = (): Option => new Option('--json', 'print JSON')
export const egressOption = (): Option =>
  new Option('--egress <rule>', 'whether hosts that no service lists may be reached without a credential').choices([
    'open',
    'deny',
  ])

/** Options for the value of a credential's fields. */
export function valueOptions(): Option[] {
  return [
    new Option('--stdin', 'read the value from stdin'),
    new Option('--from-file <file>', 'read the value from a file'),
    new Option('--from-variable <name>', 'read the value from a variable'),
    new Option('--field <name=source...>', 'a field and its source: - (stdin), @FILE or env:VARIABLE'),
  ]
}

/** A machine's own certificate, and whose the server shows. */
export function certificateOptions(): Option[] {
  return [
    new Option('--certificate-file <file>', 'the certificate of this machine (PEM); with --key-file'),
    new Option('--key-file <file>', 'its private key'),
    new Option('--ca-file <file>', 'the authorities of the server’s certificate'),
  ]
}

export function withOptions(command: Command, ...options: readonly Option[]): Command {
  for (const option of options) command.addOption(option)
  return command
}
