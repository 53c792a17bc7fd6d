import { Option } from 'commander'
import type { Command } from 'commander'
import { jsonOption, perform, withOptions } from './declare.ts'
import type { Stage } from './declare.ts'

export function declareVault(program: Command, stage: Stage): void {
  const noun = program.command('vault').description('root keys, and the keys that seal')
  const load = () => import('../commands/vault.ts')
  perform(
    withOptions(noun.command('show').description('the ways in, and how many versions each key seals'), jsonOption()),
    stage,
    async () => (await load()).show,
  )
  perform(
    withOptions(
      noun.command('add-slot <kind>').description('a further way in: recovery (shown once) or passphrase'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).addSlot,
  )
  perform(
    withOptions(noun.command('remove-slot <id>').description('close a way in'), new Option('--yes', 'do not ask')),
    stage,
    async () => (await load()).removeSlot,
  )
  perform(
    withOptions(
      noun.command('rotate-root').description('a new root key; the former one is destroyed once the new one is proven'),
      new Option('--passphrase', 'ask for the new passphrase instead of reading it from its file'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).rotateRoot,
  )
  perform(
    withOptions(
      noun
        .command('rotate-terms')
        .description('a new sealing key; every data key is wrapped anew, no secret is opened'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).rotateTerms,
  )
}
