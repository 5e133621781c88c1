import * as z from 'zod/mini'
import type { JsonCondition } from '../../database/json-condition.ts'
import type { Json } from '../../schema/values.ts'
import { explained } from '../../validation/explain.ts'
import { isStorable } from '../../validation/input.ts'
import { isPlainObject, jsonSchema } from '../../validation/json.ts'

/** Tests of one property of a value. All that are given must hold. */
export interface PropertyTests {
  /** The property is equal: of the same type, with the same JSON text. */
  eq?: Json | undefined
  /** The property is absent or not equal. */
  ne?: Json | undefined
  /** The property is equal to one of up to 1000 values. */
  in?: readonly Json[] | undefined
  /** The property is absent, or equal to none of up to 1000 values. */
  notIn?: readonly Json[] | undefined
  /** The property is a number that is greater, or a text that is greater by its bytes. */
  gt?: number | string | undefined
  /** The same, or equal. */
  gte?: number | string | undefined
  /** The property is a number that is less, or a text that is less by its bytes. */
  lt?: number | string | undefined
  /** The same, or equal. */
  lte?: number | string | undefined
}

/**
 * Conditions on the properties of values that are objects, by the name of the property: a value that the property must be
 * equal to, or tests. All must hold. A value that is no object has no property.
 */
export type PropertyConditions = Readonly<
  Record<string, string | number | boolean | null | readonly Json[] | PropertyTests>
>

const MAX_VALUES = 1000

const manySchema = z.array(jsonSchema).check(z.maxLength(MAX_VALUES))
const orderedSchema = z.union(
  [z.number(), z.string().check(z.refine(isStorable))],
  'must be a number or text, well-formed and without NUL',
)
const testsSchema = z
  .strictObject({
    eq: z.optional(jsonSchema),
    ne: z.optional(jsonSchema),
    in: z.optional(manySchema),
    notIn: z.optional(manySchema),
    gt: z.optional(orderedSchema),
    gte: z.optional(orderedSchema),
    lt: z.optional(orderedSchema),
    lte: z.optional(orderedSchema),
  })
  .check(z.refine((tests) => Object.values(tests).some((value) => value !== undefined), 'must have a test, such as eq'))

/** Not `z.record`, which leaves out a property `__proto__`: without conditions, every value would meet them. */
const propertiesSchema = z.custom<Record<string, unknown>>(isPlainObject, 'must be an object of conditions')

/** Checks conditions, which become those that the database takes. */
export const whereSchema = z.pipe(
  propertiesSchema,
  z.transform((where, context) => {
    const conditions: JsonCondition[] = []
    for (const [property, given] of Object.entries(where)) {
      const tests = isPlainObject(given) ? given : { eq: given }
      const { data, error } = testsSchema.safeParse(tests, explained)
      if (data) conditions.push(...conditionsOn(property, data))
      for (const issue of error?.issues ?? []) {
        const path = [property, ...(tests === given ? issue.path : issue.path.slice(1))]
        const unknown = issue.code === 'unrecognized_keys'
        const message = unknown
          ? `has no test ${issue.keys.join(', ')}. To compare with an object, write { eq: ... }`
          : issue.message
        context.issues.push({ code: 'custom', path, message, input: where })
      }
    }
    return conditions
  }),
)

function* conditionsOn(property: string, tests: z.infer<typeof testsSchema>): Generator<JsonCondition> {
  const { eq, ne, in: any, notIn, ...ranges } = tests
  if (eq !== undefined) yield { property, test: 'in', values: [eq] }
  if (ne !== undefined) yield { property, test: 'notIn', values: [ne] }
  if (any !== undefined) yield { property, test: 'in', values: any }
  if (notIn !== undefined) yield { property, test: 'notIn', values: notIn }
  for (const test of ['gt', 'gte', 'lt', 'lte'] as const) {
    const value = ranges[test]
    if (value !== undefined) yield { property, test, values: [value] }
  }
}

/** Returns the conditions as the JSON text that a statement takes, or undefined if there are none. */
export function conditionsOf(where: readonly JsonCondition[] | undefined): string | undefined {
  return where === undefined || where.length === 0 ? undefined : JSON.stringify(where)
}
