import * as z from 'zod'
import { rootSchema } from './schema.ts'

/**
 * Returns the JSON Schema (2020-12) of a file with a `storage:` section, for editors. The file may have other keys.
 *
 * @example
 * ```ts
 * import { configJsonSchema } from 'holdfast/config'
 * console.log(configJsonSchema().title) // Holdfast storage configuration
 * ```
 */
export function configJsonSchema(): Record<string, unknown> {
  const file = z.looseObject(rootSchema.shape).nullable().meta({ title: 'Holdfast storage configuration' })
  return z.toJSONSchema(file, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => orVariable(zodSchema, jsonSchema),
  })
}

/** Accepts `$NAME` too for numbers, booleans and enums: in a file, a variable may stand for each of them. */
function orVariable(schema: z.core.$ZodTypes, json: z.core.JSONSchema.BaseSchema) {
  if (!['number', 'boolean', 'enum'].includes(schema._zod.def.type)) return
  const literal = { ...json }
  for (const key of Object.keys(json)) delete json[key]
  json.anyOf = [literal, { type: 'string', pattern: '^\\$' }]
}
