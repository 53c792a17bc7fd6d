import type { ReadRequest, Reading } from './reference.ts'

/**
 * Where `own` accepts what `reference` does not, or reads it in another way; null: nowhere. `own` may refuse
 * more, and may wait for more: what it has read has to be the beginning of what the reference read.
 */
export function differenceBetween(own: Reading, reference: Reading): string | null {
  for (const [index, request] of own.requests.entries()) {
    const other = reference.requests[index]
    if (other === undefined)
      return `request ${index} is read, where the reference has none (${reference.error ?? 'it waits'})`
    const difference = differenceOf(request, other)
    if (difference !== null) return `request ${index}: ${difference}`
  }
  return null
}

function differenceOf(own: ReadRequest, reference: ReadRequest): string | null {
  if (own.method !== reference.method) return `method ${own.method}, not ${reference.method}`
  if (own.target !== reference.target) return `target ${own.target}, not ${reference.target}`
  if (textOf(own.headers) !== textOf(reference.headers))
    return `headers ${textOf(own.headers)}, not ${textOf(reference.headers)}`
  if (own.whole && !reference.whole) return 'its body has an end, where that of the reference has none'
  const same = own.whole
    ? own.body.equals(reference.body)
    : reference.body.length >= own.body.length && reference.body.subarray(0, own.body.length).equals(own.body)
  if (!same)
    return `body ${own.body.toString('latin1').slice(0, 200)}, not ${reference.body.toString('latin1').slice(0, 200)}`
  if (own.whole && textOf(own.trailers) !== textOf(reference.trailers))
    return `trailers ${textOf(own.trailers)}, not ${textOf(reference.trailers)}`
  return null
}

function textOf(pairs: ReadRequest['headers']): string {
  return JSON.stringify(pairs)
}
