import type { z } from 'zod'

/** Members are named only if they look like names: a value that slipped into the place of a name is not repeated. */
const memberName = /^[A-Za-z][A-Za-z0-9]{0,19}$/
const MAX_ISSUES = 5

/** What is wrong with an input, in one sentence that never repeats a value. */
export function explainIssues(error: z.core.$ZodError, subject = ''): string {
  const shown = error.issues.slice(0, MAX_ISSUES).map((issue) => {
    const place = [subject, ...issue.path.map(placeName)].filter((part) => part !== '').join('.')
    return `${place === '' ? 'The input' : `\`${place}\``} ${reason(issue)}`
  })
  return `${shown.join('; ')}.`
}

function placeName(part: PropertyKey): string {
  if (typeof part === 'number') return String(part)
  return typeof part === 'string' && memberName.test(part) ? part : '…'
}

function reason(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'unrecognized_keys':
      return `has a member that is not known here: ${issue.keys.map((key) => (memberName.test(key) ? key : '…')).join(', ')}`
    case 'invalid_type':
      return `must be ${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`
    case 'invalid_key':
      return 'has a member whose name is not allowed'
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return `must be at least ${issue.minimum}${issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : ''}`
    case 'too_big':
      return `must be at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : ''}`
    case 'invalid_format':
    case 'custom':
      return issue.message
    default:
      return 'is not valid'
  }
}
