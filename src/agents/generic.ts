import { plainSetup, type Agent } from './agent.ts'

/** Any other program: what the services’ official SDKs read, and nothing more. */
export const generic: Agent = {
  id: 'generic',
  name: 'Any program',
  commands: [],
  services: [],
  storedLogins: [],
  keep: [],
  open: [
    'Keyward does not know where this program keeps logins of its own; the gateway refuses real keys of the services that it knows.',
  ],
  setup: () => plainSetup,
  checked: 'documented',
  source: 'The variables of each service’s row.',
}
