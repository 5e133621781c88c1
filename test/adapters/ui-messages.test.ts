import { deepStrictEqual } from 'node:assert'
import { type UIMessage, validateUIMessages } from 'ai'
import fc from 'fast-check'
import { chatStore, fromUIMessage, toUIMessage } from 'holdfast/ai-sdk'
import { expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { json, objects, text, withSome } from './arbitraries.ts'

const plainJson = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)))
const dictionary = <T>(value: fc.Arbitrary<T>) => fc.dictionary(text, value, { noNullPrototype: true, maxKeys: 3 })
const provider = dictionary(dictionary(plainJson))

const is = (type: string) => fc.constant(type)
const providerMetadata = provider
const state = fc.constantFrom('streaming', 'done')
const call = { toolCallId: text }
const calls = { providerExecuted: fc.boolean(), callProviderMetadata: provider }
const approval = (approved?: boolean) => ({
  approval: withSome({ id: text, ...(approved === undefined ? {} : { approved: fc.constant(approved) }) }, {}),
})
const invocations = (kind: Record<string, fc.Arbitrary<unknown>>) => [
  withSome({ ...kind, ...call, state: is('input-streaming') }, { input: json, providerExecuted: fc.boolean() }),
  withSome({ ...kind, ...call, state: is('input-available'), input: json }, calls),
  withSome({ ...kind, ...call, state: is('approval-requested'), input: json, ...approval() }, calls),
  withSome({ ...kind, ...call, state: is('approval-responded'), input: json, ...approval(false) }, calls),
  withSome({ ...kind, ...call, state: is('output-available'), input: json, output: json }, calls),
  withSome({ ...kind, ...call, state: is('output-error'), input: json, errorText: text }, calls),
  withSome({ ...kind, ...call, state: is('output-denied'), input: json, ...approval(false) }, calls),
]
const part = fc.oneof(
  withSome({ type: is('text'), text }, { state, providerMetadata }),
  withSome({ type: is('reasoning'), text }, { state, providerMetadata }),
  withSome({ type: is('source-url'), sourceId: text, url: text }, { title: text, providerMetadata }),
  withSome({ type: is('source-document'), sourceId: text, mediaType: text, title: text }, { filename: text }),
  withSome({ type: is('file'), mediaType: text, url: text }, { filename: text, providerMetadata }),
  withSome({ type: is('data-chart'), data: json }, { id: text }),
  fc.constant({ type: 'step-start' }),
  ...invocations({ type: is('tool-search') }),
  ...invocations({ type: is('dynamic-tool'), toolName: text }),
)
const parts = fc.array(part, { minLength: 1, maxLength: 4 })
const message = withSome(
  { id: fc.uuid(), role: fc.constantFrom('system', 'user', 'assistant'), parts },
  { metadata: fc.oneof(json, objects) },
) as fc.Arbitrary<unknown> as fc.Arbitrary<UIMessage> // the kinds of parts that the AI SDK has

it('toUIMessage() returns an equal message for every kind of part and metadata', () => {
  fc.assert(
    fc.property(message, (given) => {
      const { id, role, content, metadata = {} } = JSON.parse(JSON.stringify(fromUIMessage(given)))
      const stored = { sessionId: 'chat', seq: 1, id, role, content, metadata, createdAt: new Date() }
      deepStrictEqual(toUIMessage(stored), given)
    }),
    { numRuns: rounds(500, 20_000) },
  )
})

it('toUIMessage() keeps fields that a later version of the AI SDK may add', () => {
  const given = { id: '1', role: 'user', parts: [], createdAt: new Date(0), metadata: { aiSdk: 1 }, annotations: [] }
  const { id, role, content, metadata } = JSON.parse(JSON.stringify(fromUIMessage(given)))
  const stored = { sessionId: 'chat', seq: 1, id, role, content, metadata, createdAt: new Date() }
  expect(toUIMessage(stored)).toEqual(given)
  expect(fromUIMessage({ id: '1', role: 'user', parts: [], metadata: { topic: 'trains' } }).metadata).toEqual({
    topic: 'trains',
  })
})

eachDatabase((open) => {
  it('validateUIMessages() of the AI SDK accepts what load() returns, which is what was saved', async () => {
    await using storage = await open()
    const chats = chatStore(storage)
    let chat = 0
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(message, { minLength: 1, maxLength: 4, selector: ({ id }) => id }),
        async (given) => {
          const id = `chat ${++chat}`
          await chats.save(id, given)
          const loaded = await chats.load(id)
          // `toStrictEqual` of vitest takes a property `constructor` for a class.
          deepStrictEqual(loaded, given)
          deepStrictEqual(await validateUIMessages({ messages: loaded }), await validateUIMessages({ messages: given }))
        },
      ),
      { numRuns: rounds(40, 1000) },
    )
  })
})
