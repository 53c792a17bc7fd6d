import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** `ntn_`, eleven digits and 35 characters; `secret_` and 43 before. Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/notion.go; the earlier form documented only, not confirmed. */
export const notion: Detector = {
  id: 'notion',
  name: 'Notion token',
  keywords: ['ntn_', 'secret_'],
  pattern: /(?<![A-Za-z0-9_])(ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})(?![A-Za-z0-9_])/g,
  placeholder: { prefix: 'ntn_', alphabet: base62, length: 50 },
  examples: (random) => [`ntn_${random(11, '0123456789')}${random(35, base62)}`, `secret_${random(43, base62)}`],
  lookAlikes: (random) => [
    `ntn_${random(12, base62)}`,
    `client_secret_${random(43, base62)}`,
    `secret_${random(20, base62)}`,
  ],
}
