import { randomBytes } from 'node:crypto'
import type { RootKeySource, SlotHead } from './root-key.ts'

/**
 * What every kind of root key must keep, as a list of what this one breaks. `make` gives a source with a
 * root key of its own, whose `next` needs nobody.
 */
export async function breaksOf(make: () => Promise<RootKeySource>): Promise<string[]> {
  const breaks: string[] = []
  const expectThat = (holds: boolean, rule: string): void => void (holds || breaks.push(rule))
  const place = { storeId: randomBytes(16).toString('hex'), slotId: randomBytes(16).toString('hex') }
  const source = await make()
  const first = await source.first()
  const made = await first.create(place)
  const bytes = made.key.export()

  expectThat(first.kind === source.kind && made.head.kind === source.kind, 'slots are of the kind of their source')
  expectThat(bytes.byteLength === 32 && bytes.some((byte) => byte !== 0), 'a slot is sealed by 32 bytes')
  const printed = JSON.stringify([made.head, first, source, source.where])
  for (const encoding of ['hex', 'base64', 'base64url'] as const)
    expectThat(!printed.includes(bytes.toString(encoding)), 'the key stands in nothing that is written or shown')
  expectThat(
    Object.keys(made.head).every((name) => ['kind', 'argon2', 'ciphertext'].includes(name)),
    'a head has its members only',
  )

  const again = await (await source.existing()).open(made.head, place)
  expectThat(again?.equals(made.key) === true, 'what was made is found again')
  const kinds = ['file', 'passphrase', 'keyring', 'transit', 'aws-kms', 'recovery'] as const
  for (const kind of kinds) {
    const head: SlotHead = { ...made.head, kind }
    if (kind !== source.kind)
      expectThat((await first.open(head, place)) === null, 'a slot of another kind is not tried')
  }
  const stranger = await (await make()).first()
  const theirs = await stranger.open(made.head, place)
  expectThat(theirs === null || !theirs.equals(made.key), 'another root key does not give this key')
  if (made.head.ciphertext !== undefined) {
    const moved = await first.open(made.head, { ...place, slotId: 'elsewhere' })
    expectThat(moved === null, 'what was wrapped for one slot is not unwrapped for another')
    const foreign = await first.open(made.head, { ...place, storeId: 'elsewhere' })
    expectThat(foreign === null, 'what was wrapped for one store is not unwrapped for another')
    const other = await first.create({ ...place, slotId: 'another' })
    expectThat(!other.key.equals(made.key), 'each slot has a key of its own')
  }

  const discarded = await source.next(null)
  await discarded.discard()
  expectThat(
    (await (await source.existing()).open(made.head, place))?.equals(made.key) === true,
    'a next one that was discarded leaves all as it was',
  )
  const next = await source.next(null)
  const second = { ...place, slotId: randomBytes(16).toString('hex') }
  const nextMade = await next.rootKey.create(second)
  expectThat(!nextMade.key.equals(made.key), 'the next root key is another one')
  expectThat(
    (await (await source.existing()).open(made.head, place))?.equals(made.key) === true,
    'the former one opens until the next is settled',
  )
  await next.settle()
  expectThat(
    (await (await source.existing()).open(nextMade.head, second))?.equals(nextMade.key) === true,
    'the next one is found once it is settled',
  )
  await next.destroyFormer(place)
  expectThat(
    (await (await source.existing()).open(nextMade.head, second))?.equals(nextMade.key) === true,
    'the next one stays when the former is destroyed',
  )
  return [...new Set(breaks)]
}
