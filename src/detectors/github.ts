import { base62, base64url } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** Classic, OAuth, user, installation and refresh tokens, fine-grained tokens, and the stateless installation tokens of 2026. Source: github.com/gitleaks/gitleaks, cmd/generate/config/rules/github.go; docs.github.com, "Generating an installation access token for a GitHub App", for `ghs_APPID_JWT`. */
export const github: Detector = {
  id: 'github',
  name: 'GitHub token',
  keywords: ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_', 'github_pat_'],
  pattern:
    /(?<![A-Za-z0-9_])(gh[pousr]_[A-Za-z0-9]{36,251}|ghs_\d{1,12}_ey[\w-]{10,400}\.[\w-]{10,400}\.[\w-]{10,400}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})(?![A-Za-z0-9_])/g,
  placeholder: { prefix: 'ghp_', alphabet: base62, length: 40 },
  examples: (random) => [
    `ghp_${random(36, base62)}`,
    `gho_${random(36, base62)}`,
    `ghr_${random(76, base62)}`,
    `ghs_${random(6, '123456789')}_ey${random(40, base64url)}.${random(160, base64url)}.${random(300, base62)}`,
    `github_pat_${random(22, base62)}_${random(59, base62)}`,
    `https://x-access-token:ghs_${random(36, base62)}@github.com/o/r.git`,
  ],
  lookAlikes: (random) => [
    `ghp_${random(20, base62)}`,
    `ghx_${random(36, base62)}`,
    `github_pat_${random(30, base62)}`,
    `graph_ghp_${random(36, base62)}`,
  ],
}
