import { accessSync, constants, existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { contains } from './mounts.ts'

/** What a contained agent must not see (`directories`, `files`) and must not change (`readOnly`). Absolute paths. */
export interface HiddenPaths {
  readonly directories: readonly string[]
  readonly files: readonly string[]
}

type Variables = Readonly<Record<string, string | undefined>>

/** Stored logins below the user's home, as each tool's own manual names the place. */
const loginDirectories = [
  '.aws', // credentials, sso/cache, cli/cache
  '.azure',
  '.docker',
  '.config/gcloud',
  '.config/gh',
  '.config/glab-cli',
  '.config/op',
  '.config/doctl',
  '.config/configstore',
  '.config/rclone',
  '.config/sops',
  '.config/containers/auth',
  '.oci',
  '.kube',
  '.gnupg',
  '.password-store',
  '.local/share/keyrings',
  '.local/share/kwalletd',
  '.terraform.d',
  // Browser profiles: cookies are logins.
  '.mozilla',
  '.config/google-chrome',
  '.config/chromium',
  '.config/BraveSoftware',
  '.config/microsoft-edge',
  'snap/firefox',
  'Library/Keychains',
  'Library/Application Support/Google/Chrome',
  'Library/Application Support/Firefox',
]

const loginFiles = [
  '.netrc',
  '_netrc',
  '.pypirc',
  '.npmrc',
  '.yarnrc.yml',
  '.git-credentials',
  '.config/git/credentials',
  '.config/containers/auth.json',
  '.cargo/credentials',
  '.cargo/credentials.toml',
  '.gem/credentials',
  '.bundle/config',
  '.composer/auth.json',
  '.config/composer/auth.json',
  '.m2/settings.xml',
  '.gradle/gradle.properties',
  '.nuget/NuGet/NuGet.Config',
  '.pgpass',
  '.my.cnf',
  '.mylogin.cnf',
  '.vault-token',
  '.config/hub',
  '.s3cfg',
  '.boto',
  '.huggingface/token',
  '.cache/huggingface/token',
  '.databrickscfg',
  '.snowsql/config',
  '.fly/config.yml',
  '.wrangler/config/default.toml',
  '.config/.wrangler/config/default.toml',
  // Histories hold the keys that were once typed.
  '.bash_history',
  '.zsh_history',
  '.local/share/fish/fish_history',
  '.node_repl_history',
  '.python_history',
  '.psql_history',
  '.mysql_history',
  '.rediscli_history',
  '.Xauthority',
  '.ICEauthority',
]

/** Sockets and folders through which a process outside could be started or told to act. */
const systemSockets = [
  '/run/docker.sock',
  '/run/containerd/containerd.sock',
  '/run/podman',
  '/run/crio/crio.sock',
  '/run/buildkit',
  '/run/k3s/containerd/containerd.sock',
  '/run/cri-dockerd.sock',
  '/run/dbus/system_bus_socket',
  '/run/systemd/private',
  '/run/libvirt',
  '/run/screen',
  '/run/snapd.socket',
  '/run/nscd',
  // Smart cards and tokens sign for whoever speaks here.
  '/run/pcscd',
  // Who may speak to the display types into every window. The same goes for session managers.
  '/tmp/.X11-unix',
  '/tmp/.ICE-unix',
  '/var/lib/incus/unix.socket',
  '/var/lib/lxd/unix.socket',
  '/var/snap/lxd/common/lxd/unix.socket',
  '/nix/var/nix/daemon-socket',
]

const homeSockets = ['.colima', '.lima', '.rd', '.orbstack', '.1password', '.emacs.d/server']

/** Variables by which programs find the socket of something that runs commands, opens windows or answers with passwords. */
const socketVariables = [
  'SSH_AUTH_SOCK',
  'GPG_AGENT_INFO',
  'GNOME_KEYRING_CONTROL',
  'TMUX',
  'VSCODE_IPC_HOOK_CLI',
  'VSCODE_GIT_IPC_HANDLE',
  'NVIM',
  'NVIM_LISTEN_ADDRESS',
  'EMACS_SOCKET_NAME',
  'KITTY_LISTEN_ON',
  'WEZTERM_UNIX_SOCKET',
  'ALACRITTY_SOCKET',
  'SWAYSOCK',
  'I3SOCK',
] as const

/** Files that a program of the user's own will run later: who may write them acts outside the containment. */
const startupFiles = [
  '.bashrc',
  '.bash_profile',
  '.bash_login',
  '.bash_logout',
  '.bash_aliases',
  '.profile',
  '.zshrc',
  '.zshenv',
  '.zprofile',
  '.zlogin',
  '.zlogout',
  '.xprofile',
  '.xsession',
  '.xinitrc',
  '.inputrc',
  '.vimrc',
  '.tmux.conf',
  '.gitconfig',
  '.config/git',
  '.config/fish',
  '.config/autostart',
  '.config/systemd',
  '.config/environment.d',
  '.config/nvim',
  '.config/Code/User',
  '.ssh',
  'Library/LaunchAgents',
]

/**
 * The well-known credential stores and agent sockets of this machine that exist now, for `hide`.
 * Names only what is there; symlinks are resolved later, by the plan. Add Keyward's own home, root
 * key and control socket, and the logins that the agent profiles name.
 */
export function defaultHidden(home: string, environment: Variables): HiddenPaths {
  const directories = new Set<string>()
  const files = new Set<string>()
  const add = (path: string, set: Set<string>): void => {
    if (path.startsWith('/') && existsSync(path)) set.add(path)
  }
  const config = environment['XDG_CONFIG_HOME']
  for (const name of loginDirectories) {
    add(join(home, name), directories)
    if (config && name.startsWith('.config/')) add(join(config, name.slice('.config/'.length)), directories)
  }
  for (const name of loginFiles) add(join(home, name), files)
  for (const name of [
    'AWS_SHARED_CREDENTIALS_FILE',
    'AWS_CONFIG_FILE',
    'KUBECONFIG',
    'GOOGLE_APPLICATION_CREDENTIALS',
    'NETRC',
    'PGPASSFILE',
    'NPM_CONFIG_USERCONFIG',
    'DOCKER_CONFIG',
    'CLOUDSDK_CONFIG',
    'AZURE_CONFIG_DIR',
    'GNUPGHOME',
    'GH_CONFIG_DIR',
    'HISTFILE',
    'XAUTHORITY',
  ]) {
    for (const path of (environment[name] ?? '').split(':')) add(path, files)
  }
  for (const path of privateKeys(join(home, '.ssh'))) files.add(path)
  for (const path of [...systemSockets, ...systemSockets.map((path) => path.replace(/^\/run\//, '/var/run/'))])
    add(path, files)
  for (const name of homeSockets) add(join(home, name), files)
  for (const name of socketVariables) {
    const path = (environment[name] ?? '').replace(/^unix:/, '').split(/[:,]/)[0]
    if (path) add(path, files)
  }
  for (const address of [environment['DBUS_SESSION_BUS_ADDRESS'] ?? '', environment['DOCKER_HOST'] ?? '']) {
    const path = /(?:unix:path=|unix:\/\/)([^,;]+)/.exec(address)?.[1]
    if (path) add(path, files)
  }
  for (const path of temporarySockets(environment['TMUX_TMPDIR'] ?? '/tmp')) add(path, directories)
  return { directories: [...directories], files: [...files] }
}

/**
 * The folders in which the user's own shell finds programs, as far as this user may write there: who puts
 * a program into one of them is run by the next shell outside. What lies in the working directory is the
 * agent's to change.
 */
export function programFolders(environment: Variables, workingDirectory: string): string[] {
  const folders = (environment['PATH'] ?? '').split(':').filter((path) => path.startsWith('/'))
  return [...new Set(folders)].filter((path) => !contains(workingDirectory, path) && isWritable(path))
}

/** What exists of the files that the user's own shell and desktop will run later, for `readOnly`. */
export function defaultReadOnly(home: string): string[] {
  return startupFiles.map((name) => join(home, name)).filter((path) => existsSync(path))
}

/** The runtime directories of this user: the caller's and the system's own idea of it. */
export function runtimeDirectories(uid: number, environment: Variables): string[] {
  const named = environment['XDG_RUNTIME_DIR']
  return [...new Set([named ?? '', `/run/user/${uid}`])].filter(
    (path) => path.startsWith('/') && path !== '/' && existsSync(path),
  )
}

/**
 * The sockets with a path through which somebody can be spoken to now: those that listen (flag
 * 0x10000 of /proc/net/unix) and those for datagrams (type 2), which need not.
 */
export function listeningSockets(procNetUnix: string): string[] {
  const paths = new Set<string>()
  for (const line of procNetUnix.split('\n')) {
    const [, flags, type, path] = /^\S+ \S+ \S+ (\S+) (\S+) \S+ +\S+ (\/.*)$/.exec(line) ?? []
    if (flags === undefined || type === undefined || path === undefined) continue
    if ((Number.parseInt(flags, 16) & 0x10000) !== 0 || Number.parseInt(type, 16) === 2) paths.add(path)
  }
  return [...paths]
}

function privateKeys(directory: string): string[] {
  return entries(directory)
    .map((name) => join(directory, name))
    .filter((path) => {
      try {
        return readFileSync(path, 'latin1').slice(0, 200).includes('PRIVATE KEY')
      } catch {
        return false
      }
    })
}

/** Where in the temporary directory terminal multiplexers, ssh and editors keep sockets. */
function temporarySockets(directory: string): string[] {
  return ['/tmp', directory].flatMap((folder) =>
    entries(folder)
      .filter((name) => /^(tmux-|ssh-|emacs\d|screens?$|keyring-|dbus-|vscode-|cursor-|zellij-|nvim\.)/.test(name))
      .map((name) => join(folder, name)),
  )
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
