import { describe, test } from 'vitest'
import { findRow } from './rows.ts'

/** A way in: one of the gateway's doors, spoken in one protocol. */
export interface Front {
  readonly name: string
  readonly door: 'base-url' | 'absolute' | 'tunnel'
  readonly protocol: 'http/1.1' | 'h2'
}

export const fronts: readonly Front[] = (['http/1.1', 'h2'] as const).flatMap((protocol) =>
  (['base-url', 'absolute', 'tunnel'] as const).map((door) => ({
    name: protocol === 'h2' ? `${door} h2` : door,
    door,
    protocol,
  })),
)

/** For attacks that come through no door: on the store, the process, the machine. */
export const inside = 'inside'

/**
 * One row of the table, tried at every front that it applies to. A row may have several attacks; it is
 * held at a front when all of them fail there. The name of the test is what `npm run attacks` reads:
 * `ID · front · title`.
 */
export function attack(
  id: string,
  title: string,
  at: readonly Front[] | typeof inside,
  run: (front: Front) => Promise<void> | void,
): void {
  const row = findRow(id)
  describe(`${row.id} ${row.title}`, () => {
    if (at === inside) test(`${row.id} · ${inside} · ${title}`, () => run(nowhere))
    else for (const front of at) test(`${row.id} · ${front.name} · ${title}`, () => run(front))
  })
}

/** A row that needs what is not built yet. It counts as not held. */
export function open(id: string, why: string): void {
  const row = findRow(id)
  test.todo(`${row.id} · open · ${why}`)
}

const nowhere: Front = { name: inside, door: 'base-url', protocol: 'http/1.1' }
