import type { Service } from './service.ts'

/** The SDK has no variable for a base URL. */
export const tavily: Service = {
  id: 'tavily',
  name: 'Tavily',
  hosts: ['api.tavily.com'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }],
  variables: { fields: { key: ['TAVILY_API_KEY'] } },
  operations: [
    { name: 'search', match: 'POST /search' },
    { name: 'extract', match: 'POST /extract' },
    { name: 'crawl', match: 'POST /crawl' },
    { name: 'map', match: 'POST /map' },
    { name: 'research.create', match: 'POST /research' },
    { name: 'research.get', match: 'GET /research/{request}' },
    { name: 'usage.get', match: 'GET /usage' },
  ],
  detector: 'tavily',
  sealed: ['* /generate-keys', '* /v1/enterprise/**'],
  checked: 'sdk',
  source: '@tavily/core 0.7.13; docs.tavily.com/documentation/api-reference',
}
