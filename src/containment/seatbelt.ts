/** The profile language of `sandbox-exec` (macOS, sandbox(7)); later rules win. */
export interface SeatbeltRequest {
  /** Real paths of files, directories and sockets that the agent must not reach. */
  readonly hidden: readonly string[]
  readonly readOnly: readonly string[]
  readonly keep: readonly string[]
}

/**
 * A profile that allows everything but the hidden paths, tracing other processes, and starting
 * programs outside through launchd or Apple events. Untested: written from the vendor's own profiles
 * in /System/Library/Sandbox/Profiles.
 */
export function seatbeltProfile({ hidden, readOnly, keep }: SeatbeltRequest): string {
  const lines = ['(version 1)', '(allow default)']
  for (const path of readOnly) lines.push(`(deny file-write* (subpath ${quote(path)}))`)
  for (const path of hidden) {
    lines.push(`(deny file-read* file-write* process-exec (subpath ${quote(path)}))`)
    lines.push(`(deny network-outbound (subpath ${quote(path)}))`)
  }
  for (const path of keep) lines.push(`(allow file-read* file-write* (subpath ${quote(path)}))`)
  lines.push('(deny process-info* (target others))', '(allow process-info* (target same-sandbox))')
  lines.push('(deny mach-priv-task-port)', '(deny mach-task-name (target others))')
  lines.push('(deny signal (target others))', '(allow signal (target same-sandbox))')
  lines.push('(deny appleevent-send)', '(deny job-creation)')
  return lines.join('\n')
}

function quote(path: string): string {
  return `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}
