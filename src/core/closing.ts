/** For a start that fails: ends what is open already, in this order, and throws on. */
export function closing(...open: readonly { close(): unknown }[]): (error: unknown) => Promise<never> {
  return async (error) => {
    for (const one of open) await one.close()
    throw error
  }
}
