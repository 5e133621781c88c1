import * as z from 'zod/mini'
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
  const file = z.nullable(z.looseObject(rootSchema.shape)).check(z.meta({ title: 'Holdfast storage configuration' }))
  return z.toJSONSchema(file, {
    io: 'input',
    unrepresentable: 'any', // a function, which `withoutFunctions` removes
    override: ({ zodSchema, jsonSchema }) => {
      withoutFunctions(zodSchema, jsonSchema)
      orVariable(zodSchema, jsonSchema)
    },
  })
}

/** Removes the properties whose value is a function, which no file can have. */
function withoutFunctions(schema: z.core.$ZodTypes, { properties = {} }: z.core.JSONSchema.BaseSchema) {
  if (schema._zod.def.type !== 'object') return
  for (const [name, field] of Object.entries(schema._zod.def.shape)) {
    const inner = field instanceof z.ZodMiniOptional ? field.def.innerType : field
    if (inner instanceof z.ZodMiniCustom) delete properties[name]
  }
}

/** Accepts `$NAME` too for numbers, booleans and enums: in a file, a variable may stand for each of them. */
function orVariable(schema: z.core.$ZodTypes, json: z.core.JSONSchema.BaseSchema) {
  if (!['number', 'boolean', 'enum'].includes(schema._zod.def.type)) return
  const literal = { ...json }
  for (const key of Object.keys(json)) delete json[key]
  json.anyOf = [literal, { type: 'string', pattern: '^\\$' }]
}
