import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const lower = '0123456789abcdefghijklmnopqrstuvwxyz'

/** Personal, deploy, runner, trigger, job, OAuth, SCIM, feed, mail and agent tokens; routable ones too. Source: docs.gitlab.com/security/tokens, table of token prefixes, and the routable tokens design. */
export const gitlab: Detector = {
  id: 'gitlab',
  name: 'GitLab token',
  keywords: ['glpat-', 'gldt-', 'glrt-', 'glptt-', 'glcbt-', 'gloas-', 'glsoat-', 'glft-', 'glimt-', 'glagent-'],
  pattern:
    /(?<![\w-])(gl(?:pat|dt|rt|ptt|cbt|oas|soat|ft|imt|agent)-[\w-]{20,310}(?:\.[\w-]{2}\.[0-9a-z]{9})?)(?![\w-])/g,
  placeholder: { prefix: 'glpat-', alphabet: base64url, length: null },
  examples: (random) => [
    `glpat-${random(20, base64url)}`,
    `glpat-${random(27, base64url)}.01.${random(9, lower)}`,
    `gldt-${random(20, base62)}`,
    `glptt-${random(40, '0123456789abcdef')}`,
  ],
  lookAlikes: (random) => [
    `glpat-${random(10, base62)}`,
    `glxyz-${random(20, base62)}`,
    `angling-pat-${random(20, base62)}`,
  ],
}
