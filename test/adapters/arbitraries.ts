import fc from 'fast-check'

// Values of frameworks, with what is easily lost.

/** Texts with NUL, lone surrogates and astral characters. */
export const text = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom('\0', '\ud800', 'é')),
})

const key = fc.oneof(
  text,
  fc.constantFrom('$bytes', '$date', '$url', '$buffer', 'aiSdk', 'openai', '__proto__', 'type', 'item', 'constructor'),
)

/** JSON, with what it does not have but a framework may. JSON makes 0 of -0. */
export const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    text,
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
    fc.uint8Array({ maxLength: 5 }),
    fc.uint8Array({ maxLength: 5 }).map((bytes) => new Uint8Array(bytes).buffer),
    fc.date({ noInvalidDate: true }),
    fc.webUrl().map((url) => new URL(url)),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('json')), { maxLength: 3 }).map((entries) => Object.fromEntries(entries)),
  ),
}))

/** Objects with any keys. */
export const objects = fc
  .array(fc.tuple(key, json), { maxLength: 3 })
  .map((entries): Record<string, unknown> => Object.fromEntries(entries))

/** An object with some of the optional properties. */
export const withSome = (
  required: Record<string, fc.Arbitrary<unknown>>,
  optional: Record<string, fc.Arbitrary<unknown>> = {},
) => fc.record({ ...required, ...optional }, { requiredKeys: Object.keys(required), noNullPrototype: true })
