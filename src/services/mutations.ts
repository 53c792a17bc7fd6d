import type { Operation } from './service.ts'

/** One operation that GraphQL reaches by any of these mutations. */
export function mutations(name: string, destructive: boolean, fields: readonly string[]): Operation[] {
  return fields.map((field) => ({ name, match: `GRAPHQL mutation ${field}`, ...(destructive ? { destructive } : {}) }))
}
