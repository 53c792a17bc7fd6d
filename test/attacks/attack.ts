import { describe, test } from 'vitest'
import { findRow } from './rows.ts'

/** A way in: one of the gateway's doors, spoken in one protocol. Spread it into what `stage.request` is asked. */
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

/** What the gateway speaks so far. A front in another protocol is open, and the rows that it belongs to are not held. */
const spoken: readonly Front['protocol'][] = ['http/1.1', 'h2']

/** For attacks that come through no door: on the store, the process, the machine. */
export const inside = 'inside'

/** Rows that may be said not to apply: D11 by half, since there is no SOCKS5 door; S10 and S11, of which Keyward has nothing. */
const mayNotApply: readonly string[] = ['D11', 'S10', 'S11']

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
    else
      for (const front of at) {
        const name = `${row.id} · ${front.name} · ${title}`
        if (spoken.includes(front.protocol)) test(name, () => run(front))
        else test.todo(name)
      }
  })
}

/** A row, or a part of it, that needs what is not built yet. It counts as not held. */
export function open(id: string, why: string): void {
  const row = findRow(id)
  test.todo(`${row.id} · open · ${why}`)
}

/** A row, or a part of it, that is about something which Keyward does not have. */
export function notApplicable(id: string, why: string): void {
  const row = findRow(id)
  if (!mayNotApply.includes(row.id)) throw new Error(`${row.id} applies: it is held, not held, or open.`)
  test.todo(`${row.id} · not applicable · ${why}`)
}

const nowhere: Front = { name: inside, door: 'base-url', protocol: 'http/1.1' }
