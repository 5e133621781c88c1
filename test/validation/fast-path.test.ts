import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { eventInputSchema } from '../../src/repositories/events.ts'
import { messageInputSchema } from '../../src/repositories/messages/types.ts'
import { fastCheck } from '../../src/validation/fast-path.ts'
import {
  idSchema,
  instantSchema,
  keySchema,
  limitSchema,
  MAX_INTEGER,
  positionSchema,
  textSchema,
  ttlSecondsSchema,
  versionSchema,
} from '../../src/validation/input.ts'
import { contentSchema, jsonObjectSchema, jsonSchema } from '../../src/validation/json.ts'
import { rounds } from '../setup/rounds.ts'

const text = fc.oneof(
  fc.constantFrom('', 'a', 'a\0b', '\ud800', '👍', 'x'.repeat(84), 'x'.repeat(255), 'é'.repeat(128), 'x'.repeat(256)),
  fc.string({ unit: 'binary' }),
)
const number = fc.oneof(
  fc.constantFrom(
    -1,
    -0,
    0,
    1,
    1.5,
    3_155_760_000,
    3_155_760_001,
    Number.POSITIVE_INFINITY,
    1000,
    1001,
    MAX_INTEGER,
    MAX_INTEGER + 1,
    2 ** 53,
    Number.NaN,
  ),
  fc.integer(),
)
const date = fc.oneof(
  fc.date(),
  fc.constantFrom(new Date(Number.NaN), new Date(0), new Date('9999-12-31T23:59:59.999Z')),
)
const odd = fc.constantFrom(
  null,
  undefined,
  [],
  {},
  new Map(),
  () => 1,
  Symbol('s'),
  1n,
  Object.create({ role: 'user' }),
)
const leaf = fc.oneof(text, number, date, odd, fc.jsonValue())
const part = fc.record({ type: leaf, text: leaf }, { requiredKeys: [] })
const content = fc.oneof(leaf, fc.array(part))
const message = fc.record({ id: leaf, role: leaf, content, metadata: leaf, createdAt: leaf }, { requiredKeys: [] })
const event = fc.record(
  { id: leaf, type: leaf, sessionId: leaf, runId: leaf, payload: leaf, occurredAt: leaf, more: leaf },
  { requiredKeys: ['type'] },
)

const cases: [string, z.ZodMiniType, fc.Arbitrary<unknown>, right: unknown][] = [
  ['an id', idSchema, leaf, 'a'],
  ['a key', keySchema, leaf, 'é'.repeat(512)],
  ['text', textSchema({ min: 1, max: 20 }), leaf, '👍'],
  ['an instant', instantSchema, leaf, new Date()],
  ['a limit', limitSchema, leaf, 1000],
  ['a position', positionSchema, leaf, 0],
  ['a version', versionSchema, leaf, 1],
  ['a time to live', ttlSecondsSchema, leaf, 0.5],
  ['JSON', jsonSchema, leaf, { a: [1, null] }],
  ['a JSON object', jsonObjectSchema, leaf, { a: { b: 'c' } }],
  ['content', contentSchema, content, [{ type: 'text', text: 'Hello' }]],
  ['a message', messageInputSchema, message, { id: 'a', role: 'user', content: 'Hello', metadata: {} }],
  ['an event', eventInputSchema, event, { type: 'run.started', runId: 'r', sessionId: null, payload: [1] }],
]

describe.each(cases)('fastCheck() of %s', (_, schema, values, valid) => {
  it('returns a value that is obviously valid', () => {
    expect(fastCheck(schema, valid)).toEqual(valid)
  })

  it('returns what the schema would return, or undefined', () => {
    const agrees = (value: unknown) => {
      const checked = fastCheck(schema, value)
      if (checked !== undefined) expect({ data: checked }).toStrictEqual({ data: schema.safeParse(value).data })
    }
    fc.assert(fc.property(values, agrees), { numRuns: rounds(1000, 20_000) })
  })
})

it('fastCheck() returns a copy that later changes of the object do not reach', () => {
  const given = { role: 'user', content: 'Hello' }
  const checked = fastCheck(messageInputSchema, given)
  given.role = ''
  expect(checked).toEqual({ role: 'user', content: 'Hello' })
})

it.each([
  ['an object with an unknown property', { role: 'user', content: null, more: 1 }],
  ['an object without a required property', { content: null }],
  ['an instance of a class', Object.assign(new Date(), { role: 'user', content: null })],
  ['a value that is not an object', 'user'],
])('fastCheck() returns undefined for %s', (_, value) => {
  expect(fastCheck(messageInputSchema, value)).toBeUndefined()
})

it.each<[string, z.ZodMiniType, object]>([
  ['is refined as a whole', z.strictObject({ a: z.optional(idSchema) }).check(z.refine(() => false)), {}],
  ['drops unknown properties', z.object({ a: z.optional(idSchema) }), { b: 1 }],
  ['has a default', z.strictObject({ a: z._default(idSchema, 'b') }), {}],
])('fastCheck() returns undefined if the schema %s', (_, schema, value) => {
  expect(fastCheck(schema, value)).toBeUndefined()
})
