import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** Project, service-account, admin and older user keys; `T3BlbkFJ` is base64 of `OpenAI`. Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/openai.go; github.com/trufflesecurity/trufflehog, pkg/detectors/openai/openai.go, for `sk-service-`; `sk-None-` documented only, not confirmed. */
export const openai: Detector = {
  id: 'openai',
  name: 'OpenAI API key',
  keywords: ['sk-'],
  pattern:
    /(?<![\w-])(sk-(?:proj|svcacct|service|admin|None)-[\w-]{20,200}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})(?![\w-])/g,
  placeholder: { prefix: 'sk-proj-', alphabet: base64url, length: null },
  examples: (random) => [
    `sk-proj-${random(74, base64url)}T3BlbkFJ${random(74, base64url)}`,
    `sk-svcacct-${random(74, base64url)}T3BlbkFJ${random(74, base64url)}`,
    `sk-service-${random(58, base64url)}T3BlbkFJ${random(58, base64url)}`,
    `sk-admin-${random(58, base64url)}T3BlbkFJ${random(58, base64url)}`,
    `sk-${random(20, base62)}T3BlbkFJ${random(20, base62)}`,
  ],
  lookAlikes: (random) => [
    `sk-${random(48, base62)}`,
    `sk-proj-${random(6, base62)}`,
    `task-sk-proj-${random(60, base62)}`,
    `sk-ant-api03-${random(90, base62)}`,
  ],
}
