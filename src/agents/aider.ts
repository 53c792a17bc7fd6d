import { plainSetup, type Agent } from './agent.ts'

export const aider: Agent = {
  id: 'aider',
  name: 'Aider',
  commands: ['aider'],
  services: ['openai', 'anthropic', 'gemini', 'openrouter', 'deepseek', 'groq', 'mistral'],
  storedLogins: [
    { under: '.aider', path: 'oauth-keys.env' },
    { under: '', path: '.env' },
  ],
  keep: ['AIDER_MODEL', 'AIDER_DARK_MODE', 'AIDER_LIGHT_MODE', 'AIDER_ANALYTICS'],
  open: ['Keys in a .env file or in .aider.conf.yml win over the variables; the gateway refuses them.'],
  setup: () => plainSetup,
  checked: 'documented',
  source: 'aider.chat/docs/config/api-keys.html, /config/dotenv.html',
}
