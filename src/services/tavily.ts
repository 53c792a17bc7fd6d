import type { Service } from './service.ts'

/** The SDK has no variable for a base URL. Keys are made at another host, to which this credential never goes. */
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
  checked: 'sdk',
  source:
    '@tavily/core 0.7.13 (variable, host, Bearer, operations); docs.tavily.com/documentation/api-reference; docs.tavily.com/documentation/enterprise/deactivate-keys for the host of keys; github.com/trufflesecurity/trufflehog, pkg/detectors/tavily/tavily.go, for usage.get',
}
