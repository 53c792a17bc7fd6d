import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const lower = '0123456789abcdefghijklmnopqrstuvwxyz'

/**
 * Personal, deploy, runner, trigger, job, OAuth, SCIM, feed, mail, agent, workspace and feature-flag
 * tokens; routable ones too. Source: github.com/gitlabhq/gitlabhq, doc/security/tokens/_index.md, for the
 * prefixes; github.com/gitleaks/gitleaks, cmd/generate/config/rules/gitlab.go, for the lengths;
 * github.com/trufflesecurity/trufflehog, pkg/detectors/gitlab/v3/gitlab_v3.go, for the routable form.
 */
export const gitlab: Detector = {
  id: 'gitlab',
  name: 'GitLab token',
  keywords: [
    'glpat-',
    'gldt-',
    'glrt-',
    'glrtr-',
    'glptt-',
    'glcbt-',
    'gloas-',
    'glsoat-',
    'glft-',
    'glffct-',
    'glimt-',
    'glagent-',
    'glwt-',
  ],
  pattern:
    /(?<![\w-])(gl(?:pat|dt|rtr?|ptt|cbt|oas|soat|ft|ffct|imt|agent|wt)-[\w-]{20,310}(?:\.(?:[0-9a-z]{2}\.)?[0-9a-z]{9})?)(?![\w-])/g,
  placeholder: { prefix: 'glpat-', alphabet: base64url, length: null },
  examples: (random) => [
    `glpat-${random(20, base64url)}`,
    `glpat-${random(27, base64url)}.01.${random(9, lower)}`,
    `glrt-t1_${random(27, base64url)}.${random(9, lower)}`,
    `glcbt-64_${random(20, base64url)}`,
    `gldt-${random(20, base62)}`,
    `glptt-${random(40, '0123456789abcdef')}`,
  ],
  lookAlikes: (random) => [
    `glpat-${random(10, base62)}`,
    `glxyz-${random(20, base62)}`,
    `angling-pat-${random(20, base62)}`,
  ],
}
