import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const digits = '0123456789'
const upper = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** Bot, user, app-level, refresh and rotating tokens. Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/slack.go. */
export const slack: Detector = {
  id: 'slack',
  name: 'Slack token',
  keywords: ['xoxb-', 'xoxp-', 'xoxa-', 'xoxr-', 'xoxs-', 'xoxe', 'xapp-'],
  pattern:
    /(?<![\w-])(xox[bpars]-(?:\d{1,15}-){1,3}[A-Za-z0-9]{16,64}|xoxe(?:\.xox[bp])?-\d-[A-Za-z0-9]{60,250}|xapp-\d-[A-Z0-9]{8,12}-\d{10,15}-[A-Za-z0-9]{60,70})(?![\w-])/g,
  placeholder: { prefix: 'xoxb-000000000000-000000000000-', alphabet: base62, length: null },
  examples: (random) => [
    `xoxb-${random(12, digits)}-${random(13, digits)}-${random(24, base62)}`,
    `xoxp-${random(12, digits)}-${random(12, digits)}-${random(13, digits)}-${random(32, '0123456789abcdef')}`,
    `xapp-1-A${random(10, upper)}-${random(13, digits)}-${random(64, '0123456789abcdef')}`,
    `xoxe.xoxp-1-${random(160, base62)}`,
    `xoxe-1-${random(140, base62)}`,
  ],
  lookAlikes: (random) => [
    `xoxb-${random(30, base62.slice(10))}`,
    `xoxz-${random(12, digits)}-${random(24, base62)}`,
    `xapp-${random(40, base62)}`,
  ],
}
