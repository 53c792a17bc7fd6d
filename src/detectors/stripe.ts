import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** Secret and restricted keys, in live mode and in test mode, and organisation keys; publishable keys are no secret. A placeholder says test, so that programs do not warn of a live key. Source: docs.stripe.com/api/authentication for the prefixes; github.com/gitleaks/gitleaks, cmd/generate/config/rules/stripe.go, for restricted keys and lengths; organisation keys documented only, not confirmed. */
export const stripe: Detector = {
  id: 'stripe',
  name: 'Stripe API key',
  keywords: ['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'sk_org_'],
  pattern: /(?<![A-Za-z0-9_])((?:[sr]k_(?:live|test)|sk_org_(?:live|test))_[A-Za-z0-9]{16,247})(?![A-Za-z0-9_])/g,
  placeholder: { prefix: 'sk_test_', alphabet: base62, length: null },
  examples: (random) => [
    ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_'].map((prefix) => prefix + random(99, base62)),
    `sk_${'live'}_${random(24, base62)}`,
    `sk_org_live_${random(90, base62)}`,
  ],
  lookAlikes: (random) => [
    `pk_live_${random(24, base62)}`,
    `sk_${random(24, base62)}`,
    `sk_live_${random(8, base62)}`,
    `task_live_${random(24, base62)}`,
  ],
}
