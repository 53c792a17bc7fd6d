import type { ContainmentMode } from '../../containment/plan.ts'
import type { Group } from './finding.ts'

export interface Promised {
  readonly group: Group
  /** What the agent tries, after `can` or `cannot`. */
  readonly title: string
  /** The weakest mode that promises it closed: `full` includes `files`, and no mode promises what is `never`. */
  readonly from: 'files' | 'full' | 'never'
  /** How a person closes it where nobody promised it; one line. */
  readonly remedy: string
}

const contain = 'Start agents with `keyward run --contain files` or `full`, or under another user.'
const network = 'Start agents with `keyward run --contain full`.'

const files = (group: Group, title: string): Promised => ({ group, title, from: 'files', remedy: contain })
const full = (group: Group, title: string): Promised => ({ group, title, from: 'full', remedy: network })

/** Every attempt, in the order in which it is shown, and the mode from which on it must fail. */
export const promises: Readonly<Record<string, Promised>> = {
  'home-database': files('files', 'read the database'),
  'home-listing': files('files', 'list the home'),
  'home-journal': files('files', 'read the journal'),
  'home-log': files('files', 'read the log'),
  'home-file': files('files', 'read a file in the home'),
  'home-symlink': files('files', 'read the database through a symlink'),
  'home-symlinked-directory': files('files', 'list the home through a symlink'),
  'home-new-symlink': files('files', 'make a symlink into the home'),
  'home-hard-link': files('files', 'make a hard link into the home'),
  'home-rename': files('files', 'move a file out of the home'),
  'home-own-root': files('files', 'read the home through /proc/self/root'),
  'home-first-root': files('files', 'read the home through /proc/1/root'),
  'home-other-roots': files('files', 'read the home through the root of another process'),
  'home-unmount': files('files', 'unmount what covers the home, in a namespace of its own'),
  'home-bind': files('files', 'mount the home elsewhere'),
  'home-bind-uncovered': files('files', 'mount the home elsewhere and uncover it'),
  'home-overlay': files('files', 'lay an overlay over the home'),
  'key-file': files('files', 'read the root key'),
  'key-symlink': files('files', 'read the root key through a symlink'),
  'key-hard-link': files('files', 'make a hard link to the root key'),
  'key-own-root': files('files', 'read the root key through /proc/self/root'),
  'control-socket': files('control', 'connect to the control socket'),
  'control-socket-root': files('control', 'connect to it through /proc/self/root'),
  'control-reveal': files('control', 'ask it to reveal the secret'),
  'control-gateway': files('control', 'ask the gateway port to reveal the secret'),
  'control-gateway-proxy': files('control', 'ask the gateway to reach itself and reveal the secret'),
  'server-environ': files('processes', 'read the server’s variables'),
  'server-memory': files('processes', 'read the server’s memory, as ptrace would'),
  'server-maps': files('processes', 'read the server’s memory map'),
  'server-descriptors': files('processes', 'list the server’s open files'),
  'server-root': files('processes', 'enter the server’s root directory'),
  'server-parent': files('processes', 'read the process that started the server'),
  'server-signal': files('processes', 'signal the server (SIGUSR1 would open a debugger)'),
  'server-listed': {
    group: 'processes',
    title: 'see that the server runs',
    from: 'never',
    remedy: 'Use a contained mode; in a container, let /proc be mounted anew.',
  },
  'other-environ': files('processes', 'read the variables of your other processes'),
  'other-memory': files('processes', 'read the memory of your other processes'),
  'other-descriptors': files('processes', 'list the open files of your other processes'),
  'own-descriptors': files('processes', 'find files that were left open for it'),
  'own-privileges': files('processes', 'hold privileges, or gain some through setuid programs'),
  'own-core-dump': files('processes', 'leave a core dump'),
  sockets: files('outside', 'connect to container engines, ssh-agent, gpg-agent or D-Bus'),
  'stored-logins': files('outside', 'read stored logins of other programs'),
  'shared-memory': files('outside', 'read what your other programs keep in shared memory'),
  'program-folder': files('outside', 'put a program where your shell would find it'),
  'network-tcp': full('network', 'connect to a port past the gateway'),
  'network-udp': full('network', 'exchange datagrams past the gateway'),
  'network-dns': full('network', 'ask a name server past the gateway'),
  'network-abstract-socket': full('network', 'connect to an abstract socket'),
  'network-route': full('network', 'have a route to the Internet'),
  'network-route-6': full('network', 'have a route to the Internet (IPv6)'),
  'network-inspector': full('network', 'find a debugger listening on port 9229'),
}

/** The gateway refuses these by itself, so they hold even where nothing is contained. */
const always = new Set(['control-gateway', 'control-gateway-proxy'])

export function isPromised(id: string, promised: Promised, mode: ContainmentMode): boolean {
  if (always.has(id)) return true
  if (mode === 'none' || promised.from === 'never') return false
  return mode === 'full' || promised.from === 'files'
}
