import { anthropic } from './anthropic.ts'
import { azureOpenai } from './azure-openai.ts'
import { deepseek } from './deepseek.ts'
import { gemini } from './gemini.ts'
import { github } from './github.ts'
import { gitlab } from './gitlab.ts'
import { groq } from './groq.ts'
import { mistral } from './mistral.ts'
import { notion } from './notion.ts'
import { npm } from './npm.ts'
import { openai } from './openai.ts'
import { openrouter } from './openrouter.ts'
import { slack } from './slack.ts'
import { stripe } from './stripe.ts'
import { tavily } from './tavily.ts'
import type { Service } from './service.ts'

export const services = [
  anthropic,
  azureOpenai,
  deepseek,
  gemini,
  github,
  gitlab,
  groq,
  mistral,
  notion,
  npm,
  openai,
  openrouter,
  slack,
  stripe,
  tavily,
] as const satisfies readonly Service[]
