import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** Standard keys (`AIza`, 39 characters) and authorisation keys (`AQ.Ab…`, since 2026). Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/gcp.go, for the former; github.com/snailyp/gemini-balance/pull/406 and github.com/ultimatejimmy/xray.koplugin/issues/72 for the beginning of the latter, whose length is not confirmed. */
export const gemini: Detector = {
  id: 'gemini',
  name: 'Google API key',
  keywords: ['aiza', 'aq.ab'],
  pattern: /(?<![\w-])(AIza[\w-]{35}|AQ\.Ab[\w-]{30,100})(?![\w-])/g,
  placeholder: { prefix: 'AIza', alphabet: base64url, length: 39 },
  examples: (random) => [
    `AIza${random(35, base64url)}`,
    `AQ.Ab${random(48, base64url)}`,
    `?key=AIza${random(35, base64url)}&alt=sse`,
  ],
  lookAlikes: (random) => [`AIza${random(20, base62)}`, `AIza${random(40, base62)}`, `xAIza${random(35, base62)}`],
}
