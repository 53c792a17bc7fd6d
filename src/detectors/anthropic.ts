import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** API, admin and OAuth keys. Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/anthropic.go (API and admin keys: 93 characters, then `AA`); OAuth keys documented only, not confirmed. */
export const anthropic: Detector = {
  id: 'anthropic',
  name: 'Anthropic API key',
  keywords: ['sk-ant-'],
  pattern: /\b(sk-ant-(?:api|admin|oat)\d{2}-[\w-]{20,200})(?![\w-])/g,
  placeholder: { prefix: 'sk-ant-api03-', alphabet: base64url, length: null },
  examples: (random) => [
    `sk-ant-api03-${random(93, base64url)}AA`,
    `sk-ant-admin01-${random(93, base64url)}AA`,
    `sk-ant-oat01-${random(93, base64url)}AA`,
  ],
  lookAlikes: (random) => [
    `sk-ant-${random(40, base62)}`,
    `sk-ant-api03-${random(8, base62)}`,
    `sk-ant-session-${random(40, base62)}`,
  ],
}
