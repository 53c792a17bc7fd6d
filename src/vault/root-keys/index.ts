import { existsSync } from 'node:fs'
import type { Secret } from '../../core/secret.ts'
import type { RandomBytes } from '../sealing.ts'
import { awsKmsService } from './aws-kms.ts'
import type { RootKeyChoice } from './choice.ts'
import { fileSource } from './file.ts'
import { keyringPrograms, keyringSource } from './keyring.ts'
import { passphraseSource } from './passphrase.ts'
import type { RootKeySource } from './root-key.ts'
import { transitService } from './transit.ts'
import { wrappingSource } from './wrapping.ts'

export interface RootKeyParts {
  /** Asks a person for the passphrase, a new one twice; null where nobody can be asked. */
  readonly askPassphrase: ((isNew: boolean) => Promise<Secret>) | null
  readonly random: RandomBytes
  readonly now: () => number
  readonly platform: NodeJS.Platform
}

/** Every kind of root key that settings can choose. */
export function rootKeySource(choice: RootKeyChoice, parts: RootKeyParts): RootKeySource {
  const { random, now, askPassphrase: ask } = parts
  switch (choice.kind) {
    case 'file': {
      const { path, orPassphrase } = choice
      const file = fileSource({ path, random })
      if (!orPassphrase || ask === null) return file
      const typed = passphraseSource({ file: null, ask, random })
      const chosen = (): RootKeySource => (existsSync(path) ? file : typed)
      return { ...file, existing: () => chosen().existing(), next: (passphrase) => chosen().next(passphrase) }
    }
    case 'passphrase':
      return passphraseSource({ file: choice.file, ask, random })
    case 'keyring':
      return keyringSource({ programs: keyringPrograms(parts.platform), random })
    case 'transit':
      return wrappingSource(transitService(choice), random)
    case 'aws-kms':
      return wrappingSource(awsKmsService({ ...choice, now }), random)
  }
}
