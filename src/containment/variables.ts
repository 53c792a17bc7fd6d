export interface ChildVariablesRequest {
  readonly parentEnvironment: Readonly<Record<string, string | undefined>>
  /** Variable to placeholder. */
  readonly placeholders: Readonly<Record<string, string>>
  /** Variable to base URL. */
  readonly baseUrls: Readonly<Record<string, string>>
  /** `http://session:TOKEN@127.0.0.1:PORT`. */
  readonly proxyUrl: string
  readonly bundlePath: string
  readonly extraPath: string
  readonly preloadPath: string
  /** Whether a text equals or holds a secret that the vault knows. */
  readonly holdsSecret: (text: string) => boolean
  /** Names of further variables that agents and services need and that are configuration; a trailing `*` stands for any rest. */
  readonly extraAllow?: readonly string[]
}

export interface ChildVariables {
  readonly variables: Record<string, string>
  /** Names of the parent's variables that held a known secret, to be announced. */
  readonly secretsRemoved: readonly string[]
}

/** What passes from the parent: how to find programs, how to print, where tools keep their files. */
export const allowedVariables: readonly string[] = [
  'PATH HOME USER LOGNAME SHELL PWD HOSTNAME TMPDIR TMP TEMP',
  'TERM TERM_PROGRAM TERM_PROGRAM_VERSION TERMINFO TERMINFO_DIRS COLORTERM COLORFGBG COLUMNS LINES',
  'FORCE_COLOR NO_COLOR CLICOLOR CLICOLOR_FORCE LS_COLORS LESS LESSCHARSET PAGER MANPAGER GIT_PAGER',
  'LANG LANGUAGE LC_* TZ LOCALE_ARCHIVE EDITOR VISUAL CI',
  'XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_STATE_HOME XDG_RUNTIME_DIR XDG_CONFIG_DIRS XDG_DATA_DIRS',
  'NODE_ENV NODE_PATH NVM_DIR NVM_BIN VOLTA_HOME FNM_DIR PNPM_HOME BUN_INSTALL DENO_DIR COREPACK_HOME',
  'VIRTUAL_ENV CONDA_PREFIX PYENV_ROOT PYTHONPATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONIOENCODING PYTHONUTF8',
  'GOPATH GOROOT GOCACHE GOMODCACHE GOTOOLCHAIN CARGO_HOME RUSTUP_HOME RUST_BACKTRACE JAVA_HOME GRADLE_USER_HOME',
  'GEM_HOME GEM_PATH RBENV_ROOT HOMEBREW_PREFIX NIX_PATH NIX_PROFILES LD_LIBRARY_PATH PKG_CONFIG_PATH',
  'GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL WSL_DISTRO_NAME',
].flatMap((line) => line.split(' '))

/** Loopback goes direct: base URLs of the gateway, and the developer's own servers. */
const noProxy = 'localhost,127.0.0.1,::1'

/** Variables by which programs find the authorities that they trust instead of the system's. */
const bundleVariables = [
  'SSL_CERT_FILE', // OpenSSL, Go, rustls, Python's ssl and httpx
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'PIP_CERT',
  'AWS_CA_BUNDLE',
  'CARGO_HTTP_CAINFO',
  'NIX_SSL_CERT_FILE',
  'HTTPLIB2_CA_CERTS',
  'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
  'npm_config_cafile',
] as const

const proxyVariables = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'http_proxy',
  'https_proxy',
  'npm_config_proxy',
  'npm_config_https_proxy',
] as const

/**
 * The whole environment of an agent. Of the parent's, only what is on the allow-list passes, and of
 * that nothing that holds a known secret or a login inside a URL. ALL_PROXY is not set: the gateway
 * carries HTTP and nothing else.
 */
export function childVariables(request: ChildVariablesRequest): ChildVariables {
  const variables: Record<string, string> = {}
  const secretsRemoved: string[] = []
  const allowed = allowList([...allowedVariables, ...(request.extraAllow ?? [])])
  for (const [name, value] of Object.entries(request.parentEnvironment)) {
    if (value === undefined) continue
    if (request.holdsSecret(value)) secretsRemoved.push(name)
    else if (allowed(name) && !holdsLogin(value)) variables[name] = value
  }
  const inherited = request.parentEnvironment['NODE_OPTIONS'] ?? ''
  const set: Record<string, string> = {
    ...Object.fromEntries(proxyVariables.map((name) => [name, request.proxyUrl])),
    ...Object.fromEntries(['NO_PROXY', 'no_proxy', 'npm_config_noproxy'].map((name) => [name, noProxy])),
    ...Object.fromEntries(bundleVariables.map((name) => [name, request.bundlePath])),
    NODE_USE_ENV_PROXY: '1',
    NODE_EXTRA_CA_CERTS: request.extraPath,
    DENO_CERT: request.extraPath,
    NODE_OPTIONS: nodeOptions(request.holdsSecret(inherited) ? '' : inherited, request.preloadPath),
    ...gitVariables(request.proxyUrl),
  }
  return { variables: { ...variables, ...set, ...request.baseUrls, ...request.placeholders }, secretsRemoved }
}

/**
 * Git asks nobody, uses no stored login, and sends the proxy's credentials at once (git-config(1):
 * credential.helper, http.proxy; an empty helper clears the list).
 */
function gitVariables(proxyUrl: string): Record<string, string> {
  const settings = [
    ['credential.helper', ''],
    ['http.proxy', proxyUrl],
    ['http.proxyAuthMethod', 'basic'],
  ] as const
  return {
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: String(settings.length),
    ...Object.fromEntries(
      settings.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  }
}

/** The parent's options without those that open a debugger or change the trust, and the preload. */
export function nodeOptions(inherited: string, preloadPath: string): string {
  const kept: string[] = []
  const words = inherited.match(/(?:"(?:\\.|[^"\\])*"|[^\s"])+/g) ?? []
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? ''
    const following = words[index + 1] ?? ''
    const opensDebugger = /^--(?:inspect|debug|use-bundled-ca|experimental-network-inspection)/.test(word)
    if (!opensDebugger) kept.push(word)
    else if (!word.includes('=') && following !== '' && !following.startsWith('-')) index += 1
  }
  const quoted = `"${preloadPath.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
  return [...kept, `--require=${/[\s"\\]/.test(preloadPath) ? quoted : preloadPath}`].join(' ')
}

function allowList(names: readonly string[]): (name: string) => boolean {
  const exact = new Set(names.filter((name) => !name.endsWith('*')))
  const prefixes = names.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
  return (name) => exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
}

/** `scheme://user:password@` or `scheme://token@` anywhere in the text. */
function holdsLogin(text: string): boolean {
  return /[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+@/i.test(text)
}
