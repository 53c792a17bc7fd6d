/** What the attempts are told, on standard input: where things are, never a secret. */
export interface Places {
  readonly home: string
  readonly database: string
  readonly journal: string
  readonly log: string
  /** A file in the home that holds `fileMark` and nothing else: what may safely be renamed or linked. */
  readonly canaryFile: string
  readonly fileMark: string
  /** Root key or passphrase file. */
  readonly keyFile: string
  readonly controlSocket: string
  /** A symbolic link to the database and one to the home, in the working directory. */
  readonly link: string
  readonly directoryLink: string
  readonly server: ProcessPlace
  readonly serverParent: ProcessPlace
  readonly standIn: ProcessPlace
  /** Stands in the variables of the stand-in process. */
  readonly processMark: string
  readonly sockets: readonly string[]
  readonly logins: readonly string[]
  /** Holds `fileMark`, in shared memory; null where there is none. */
  readonly sharedFile: string | null
  /** Stands for a folder in which the user's shell finds programs. */
  readonly programs: string
  readonly tcpPort: number
  readonly udpPort: number
  readonly resolverPort: number
  readonly abstractSocket: string
  readonly gateway: { readonly host: string; readonly port: number }
  readonly service: {
    readonly id: string
    readonly host: string
    readonly credential: string
    readonly environment: string
  }
  readonly placeholder: string
  readonly token: string
  readonly forms: readonly string[]
}

export interface ProcessPlace {
  readonly processId: number
  /** In clock ticks since boot; with the id it names one process. */
  readonly startTicks: string
}

/** An answer as it arrived, for the process outside to search. */
export interface HeardAnswer {
  readonly way: Way
  readonly form: string
  readonly status: number
  /** Header lines and trailers as text. */
  readonly head: string
  readonly coding: string
  /** Base64. */
  readonly body: string
}

export const ways = ['base', 'absolute', 'connect'] as const
export type Way = (typeof ways)[number]

/** One line of what the attempts print. */
export type Line =
  | { readonly kind: 'attempt'; readonly id: string; readonly got: boolean; readonly detail?: string }
  | { readonly kind: 'untried'; readonly id: string; readonly why: string }
  | ({ readonly kind: 'answer' } & HeardAnswer)
  | { readonly kind: 'unanswered'; readonly way: Way; readonly form: string; readonly why: string }
  | { readonly kind: 'own'; readonly texts: readonly string[] }
  | { readonly kind: 'end' }

/** True or the name of what was got: the attempt succeeded. Throwing, or false: it did not. */
export type Attempt = () => boolean | string | Promise<boolean | string>

/** Said by an attempt that cannot be made here, which proves nothing either way. */
export class Untried extends Error {}
