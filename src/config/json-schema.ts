import * as z from 'zod'
import { rootSchema } from './schema.ts'

/** The JSON Schema (2020-12) of a file with a `storage:` section, for editors. Other keys of the file are free. */
export function configJsonSchema(): Record<string, unknown> {
  const file = z.looseObject(rootSchema.shape).nullable().meta({ title: 'Holdfast storage configuration' })
  return z.toJSONSchema(file, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => orVariable(zodSchema, jsonSchema),
  })
}

/** In a file, a variable may stand for anything that is no text. */
function orVariable(schema: z.core.$ZodTypes, json: z.core.JSONSchema.BaseSchema) {
  if (!['number', 'boolean', 'enum'].includes(schema._zod.def.type)) return
  const literal = { ...json }
  for (const key of Object.keys(json)) delete json[key]
  json.anyOf = [literal, { type: 'string', pattern: '^\\$' }]
}
