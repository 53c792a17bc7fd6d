import type { ContainmentMode } from '../../containment/plan.ts'
import type { Group } from './finding.ts'

export interface Promised {
  readonly group: Group
  /** What the agent tried. */
  readonly title: string
  /** The weakest mode that promises it closed: `none` promises nothing here, `full` includes `files`. */
  readonly from: 'files' | 'full'
  /** How a person closes it where nobody promised it; one line. */
  readonly remedy: string
}

const contain = 'Start agents with `keyward run --contain files` or `full`, or under another user.'
const network = 'Start agents with `keyward run --contain full`.'

const files = (group: Group, title: string): Promised => ({ group, title, from: 'files', remedy: contain })
const full = (group: Group, title: string): Promised => ({ group, title, from: 'full', remedy: network })

/** Every attempt, in the order in which it is shown, and the mode from which on it must fail. */
export const promises: Readonly<Record<string, Promised>> = {
  'home-database': files('files', 'reads the database'),
  'home-listing': files('files', 'lists the home'),
  'home-journal': files('files', 'reads the journal'),
  'home-log': files('files', 'reads the log'),
  'home-file': files('files', 'reads a file in the home'),
  'home-symlink': files('files', 'reads the database through a symlink'),
  'home-symlinked-directory': files('files', 'lists the home through a symlink'),
  'home-new-symlink': files('files', 'makes a symlink into the home'),
  'home-hard-link': files('files', 'makes a hard link into the home'),
  'home-rename': files('files', 'moves a file out of the home'),
  'home-own-root': files('files', 'reads the home through /proc/self/root'),
  'home-first-root': files('files', 'reads the home through /proc/1/root'),
  'home-other-roots': files('files', 'reads the home through the root of another process'),
  'home-unmount': files('files', 'unmounts what covers the home, in a namespace of its own'),
  'home-bind': files('files', 'mounts the home elsewhere'),
  'home-bind-uncovered': files('files', 'mounts the home elsewhere and uncovers it'),
  'home-overlay': files('files', 'lays an overlay over the home'),
  'key-file': files('files', 'reads the root key'),
  'key-symlink': files('files', 'reads the root key through a symlink'),
  'key-hard-link': files('files', 'makes a hard link to the root key'),
  'key-own-root': files('files', 'reads the root key through /proc/self/root'),
  'control-socket': files('control', 'connects to the control socket'),
  'control-socket-root': files('control', 'connects to it through /proc/self/root'),
  'control-reveal': files('control', 'asks it to reveal the secret'),
  'control-gateway': files('control', 'asks the gateway port to reveal the secret'),
  'control-gateway-proxy': files('control', 'asks the gateway to reach itself and reveal the secret'),
  'server-environ': files('processes', 'reads the server’s variables'),
  'server-memory': files('processes', 'reads the server’s memory, as ptrace would'),
  'server-maps': files('processes', 'reads the server’s memory map'),
  'server-descriptors': files('processes', 'lists the server’s open files'),
  'server-root': files('processes', 'enters the server’s root directory'),
  'server-parent': files('processes', 'reads the process that started the server'),
  'server-signal': files('processes', 'signals the server (SIGUSR1 would open a debugger)'),
  'server-listed': files('processes', 'sees that the server runs'),
  'other-environ': files('processes', 'reads the variables of your other processes'),
  'other-memory': files('processes', 'reads the memory of your other processes'),
  'other-descriptors': files('processes', 'lists the open files of your other processes'),
  'own-descriptors': files('processes', 'finds files that were left open for it'),
  'own-privileges': files('processes', 'has privileges, or may gain some through setuid programs'),
  'own-core-dump': files('processes', 'may leave a core dump'),
  sockets: files('outside', 'connects to container engines, ssh-agent, gpg-agent or D-Bus'),
  'stored-logins': files('outside', 'reads stored logins of other programs'),
  'network-tcp': full('network', 'connects to a port past the gateway'),
  'network-udp': full('network', 'exchanges datagrams past the gateway'),
  'network-dns': full('network', 'asks a name server past the gateway'),
  'network-abstract-socket': full('network', 'connects to an abstract socket'),
  'network-route': full('network', 'has a route to the Internet'),
  'network-route-6': full('network', 'has a route to the Internet (IPv6)'),
  'network-inspector': full('network', 'finds a debugger listening on port 9229'),
}

/** The gateway refuses these by itself, so they hold even where nothing is contained. */
const always = new Set(['control-gateway', 'control-gateway-proxy'])

export function isPromised(id: string, promised: Promised, mode: ContainmentMode): boolean {
  if (always.has(id)) return true
  return mode === 'full' || (mode === 'files' && promised.from === 'files')
}
