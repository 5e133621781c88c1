import * as z from 'zod/mini'

/** Returns the parsed value if it is obviously valid; undefined means "ask zod". */
type FastCheck = (value: unknown) => unknown

const checks = new WeakMap<z.ZodMiniType, FastCheck>()

/** Makes a schema of one rule: a value that satisfies `is` is returned as it is; `message` says what it must be. */
export function rule<T>(is: (value: unknown) => boolean, message: string) {
  return withFastCheck(is, z.custom<T>(is, message))
}

/** Registers a quick test for a schema. A value that passes must be one that the schema would return as it is. */
export function withFastCheck<S extends z.ZodMiniType>(isValid: (value: unknown) => boolean, schema: S): S {
  checks.set(schema, (value) => (isValid(value) ? value : undefined))
  return schema
}

/**
 * Returns the parsed value if it is obviously valid. Undefined means that zod has to be asked, which also knows what is
 * wrong with the value. zod takes longer to accept a value than SQLite takes to answer, above all on a cold call: that is
 * why it is asked last.
 */
export function fastCheck<T>(schema: z.ZodMiniType<T>, value: unknown): T | undefined {
  return fastCheckOf(schema)(value) as T | undefined // as the schema's own check says
}

/**
 * Returns the check of a schema. Strict objects are checked property by property. A schema without a registered check
 * always falls back to zod.
 */
function fastCheckOf(schema: z.ZodMiniType): FastCheck {
  let check = checks.get(schema)
  if (check === undefined) {
    check = isStrictObject(schema) ? objectCheck(schema) : () => undefined
    checks.set(schema, check)
  }
  return check
}

function isStrictObject(schema: z.ZodMiniType): schema is z.ZodMiniObject<Record<string, z.ZodMiniType>> {
  return (
    schema instanceof z.ZodMiniObject &&
    schema.def.catchall instanceof z.ZodMiniNever &&
    schema.def.checks === undefined
  )
}

function objectCheck({ shape }: z.ZodMiniObject<Record<string, z.ZodMiniType>>): FastCheck {
  const properties = Object.entries(shape).map(([name, schema]) => ({ name, isValid: propertyTest(schema) }))
  return (value) => {
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
      return undefined
    const own: Record<string, unknown> = { ...value } // each property is read once, as zod does
    for (const name in own) if (!Object.hasOwn(shape, name)) return undefined
    for (const { name, isValid } of properties) if (!isValid(own[name])) return undefined
    return own
  }
}

function propertyTest(schema: z.ZodMiniType): (value: unknown) => boolean {
  if (schema instanceof z.ZodMiniOptional) {
    const isValid = propertyTest(schema.def.innerType as z.ZodMiniType) // it is typed for zod's core
    return (value) => value === undefined || isValid(value)
  }
  if (schema instanceof z.ZodMiniNullable) {
    const isValid = propertyTest(schema.def.innerType as z.ZodMiniType) // it is typed for zod's core
    return (value) => value === null || isValid(value)
  }
  const check = fastCheckOf(schema)
  return (value) => check(value) !== undefined
}
