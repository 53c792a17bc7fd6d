import { z } from 'zod'
import { policySchemas } from '../src/identity/policy-files/documents.ts'

/** The JSON Schema of one document of a policy file, made from what `apply` checks with. What a schema cannot say (references, one document a thing) only `apply` checks. */
export function policySchemaText(): string {
  const kinds = Object.values(policySchemas).map((schema) => {
    const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
    return rest
  })
  const whole = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A document of a Keyward policy file',
    oneOf: kinds,
  }
  return `${JSON.stringify(whole, null, 2)}\n`
}
