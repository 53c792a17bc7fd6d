import { z } from 'zod'
import { callLanguages } from '../core/call-pattern.ts'
import { fieldName } from '../injectors/field-value.ts'
import type { Service } from './service.ts'

/** Bounds on one service, whichever way it comes in. */
export const maximumHosts = 64
export const maximumFields = 32
export const maximumRules = 16
export const maximumOperations = 1000
export const maximumFramePlaces = 8
export const maximumSpeeches = 16

export const serviceId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'an id is lower-case letters, digits and -, and begins with a letter')
export const displayName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\p{Cc}]+$/u, 'a name has no control characters')
export const hostList = z.array(z.string()).min(1).max(maximumHosts)
export const fieldKinds = z
  .record(fieldName, z.enum(['secret', 'public']))
  .refine((fields) => Object.keys(fields).length <= maximumFields, `a service has at most ${maximumFields} fields`)
  .refine((fields) => Object.values(fields).includes('secret'), 'a service has at least one secret field')
  .refine((fields) => !('baseUrl' in fields) && !('basePath' in fields), 'baseUrl and basePath are no names for fields')
export const injectionRule = z.looseObject({ kind: z.string() })
export const injectionRules = z.array(injectionRule).min(1).max(maximumRules)
export const operations = z
  .array(z.strictObject({ name: z.string(), match: z.string(), destructive: z.boolean().exactOptional() }))
  .max(maximumOperations)
export const patterns = z.array(z.string()).max(maximumOperations)
export const framePlaces = z
  .array(z.strictObject({ pointer: z.string().max(256), field: fieldName.default('key') }))
  .max(maximumFramePlaces)
export const speeches = z
  .array(z.strictObject({ path: z.string(), language: z.enum(callLanguages) }))
  .min(1)
  .max(maximumSpeeches)
const variableNames = z.array(z.string()).max(16)

/** A `Service` row, as it is kept in the store. */
export const serviceRow: z.ZodType<Service> = z.strictObject({
  id: serviceId,
  name: displayName,
  hosts: hostList,
  endpoint: z.string().exactOptional(),
  trust: z.string().exactOptional(),
  http2: z.boolean().exactOptional(),
  fields: fieldKinds,
  inject: injectionRules,
  variables: z.strictObject({
    fields: z.record(z.string(), variableNames),
    baseUrl: variableNames.exactOptional(),
    basePath: z.string().exactOptional(),
    shadowedBy: variableNames.exactOptional(),
  }),
  operations,
  speaks: speeches.exactOptional(),
  detector: z.string().exactOptional(),
  encodedSlash: z.boolean().exactOptional(),
  sealed: patterns.exactOptional(),
  handsOut: patterns.exactOptional(),
  frames: framePlaces.exactOptional(),
  checked: z.enum(['sdk', 'documented']),
  source: z.string(),
})
