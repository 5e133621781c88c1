import * as z from 'zod'

/** The value as the schema would return it; undefined where only the schema can tell. */
type FastCheck = (value: unknown) => unknown

const checks = new WeakMap<z.ZodType, FastCheck>()

/** Gives a schema that returns what it is given a test for values that are plainly right; in doubt it says false. */
export function withFastCheck<S extends z.ZodType>(isRight: (value: unknown) => boolean, schema: S): S {
  checks.set(schema, (value) => (isRight(value) ? value : undefined))
  return schema
}

/**
 * A value that is plainly right, as the schema would return it. Undefined for all else: then only the schema can tell,
 * and say why. It is asked first because zod takes longer to agree than SQLite to answer, most of all where a program
 * calls now and then and none of that code is warm.
 */
export function fastCheck<T>(schema: z.ZodType<T>, value: unknown): T | undefined {
  return fastCheckOf(schema)(value) as T | undefined // as its check says
}

/** Of a strict object and what is optional in it, by its properties; of anything else that was given none, one that never tells. */
function fastCheckOf(schema: z.ZodType): FastCheck {
  let check = checks.get(schema)
  if (check === undefined) {
    check = isStrictObject(schema) ? objectCheck(schema) : () => undefined
    checks.set(schema, check)
  }
  return check
}

function isStrictObject(schema: z.ZodType): schema is z.ZodObject<Record<string, z.ZodType>> {
  return schema instanceof z.ZodObject && schema.def.catchall instanceof z.ZodNever && schema.def.checks === undefined
}

function objectCheck({ shape }: z.ZodObject<Record<string, z.ZodType>>): FastCheck {
  const properties = Object.entries(shape).map(([name, schema]) => ({ name, isRight: propertyTest(schema) }))
  return (value) => {
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
      return undefined
    const own: Record<string, unknown> = { ...value } // read once, as the schema would
    for (const name in own) if (!Object.hasOwn(shape, name)) return undefined
    for (const { name, isRight } of properties) if (!isRight(own[name])) return undefined
    return own
  }
}

function propertyTest(schema: z.ZodType): (value: unknown) => boolean {
  if (schema instanceof z.ZodOptional) {
    const isRight = propertyTest(schema.unwrap() as z.ZodType) // unwrap is typed for zod's core
    return (value) => value === undefined || isRight(value)
  }
  if (schema instanceof z.ZodNullable) {
    const isRight = propertyTest(schema.unwrap() as z.ZodType)
    return (value) => value === null || isRight(value)
  }
  const check = fastCheckOf(schema)
  return (value) => check(value) !== undefined
}
