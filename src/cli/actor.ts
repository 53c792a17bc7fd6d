import { userInfo } from 'node:os'

/** Who acts when a person uses the control socket: whoever owns it. */
export function actorName(): string {
  try {
    return `operator:${userInfo().username}`
  } catch {
    // An id without an entry in the user database, as in many containers.
    return `operator:uid-${process.getuid?.() ?? 0}`
  }
}
