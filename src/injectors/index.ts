import { basic } from './basic.ts'
import { bearer } from './bearer.ts'
import { body } from './body.ts'
import { header } from './header.ts'
import type { RegisteredInjector } from './injector.ts'
import { path } from './path.ts'
import { query } from './query.ts'
import { sigv4 } from './sigv4.ts'
import { subprotocol } from './subprotocol.ts'

export const injectors = [
  basic,
  bearer,
  body,
  header,
  path,
  query,
  sigv4,
  subprotocol,
] as const satisfies readonly RegisteredInjector[]
