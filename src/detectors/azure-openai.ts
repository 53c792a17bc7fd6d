import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const hex = '0123456789abcdef'

/** 32 hex digits, or 84 characters with Azure's marker, neither of which means anything without a word beside it. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/azure_openai/azure_openai.go, for the 32 digits; the marker and its place were seen in public code, documented only, not confirmed. */
export const azureOpenai: Detector = {
  id: 'azure-openai',
  name: 'Azure OpenAI key',
  keywords: ['azure', 'api-key', 'api_key'],
  pattern:
    /(?:azure|api[-_]?key)[\w."' \t-]{0,40}[=:][ \t"']{0,4}([A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}|[0-9a-f]{32})(?![A-Za-z0-9])/gi,
  placeholder: { prefix: '', alphabet: base62, length: 84 },
  examples: (random) => [
    `AZURE_OPENAI_API_KEY=${random(32, hex)}`,
    `"azure_openai_key": "${random(52, base62)}JQQJ9${random(27, base62)}"`,
    `api-key: ${random(32, hex)}`,
  ],
  lookAlikes: (random) => [
    random(32, hex),
    `azure_commit=${random(40, hex)}`,
    `azure_key = ${random(84, base62).replaceAll('J', 'K')}`,
  ],
}
