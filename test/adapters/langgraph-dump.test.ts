import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages'
import { DeltaSnapshot, MemorySaver, type SerializerProtocol } from '@langchain/langgraph-checkpoint'
import fc from 'fast-check'
import { MemorySaver as OldestSaver } from 'lowest-langgraph-checkpoint'
import { describe, expect, it } from 'vitest'
import { dumpValue } from '../../src/adapters/langgraph-dump.ts'
import { objects, text } from './arbitraries.ts'
import { MESSAGES } from './langchain-messages.ts'

const serializers = { newest: new MemorySaver().serde, oldest: new OldestSaver().serde }
const decoder = new TextDecoder()

/** LangGraph's serializer, with the number of values that it was asked for. */
class Counted implements SerializerProtocol {
  dumps = 0
  readonly #inner: SerializerProtocol
  constructor(inner: SerializerProtocol) {
    this.#inner = inner
  }
  dumpsTyped(value: unknown) {
    this.dumps++
    return this.#inner.dumpsTyped(value)
  }
  loadsTyped(type: string, data: Uint8Array | string) {
    return this.#inner.loadsTyped(type, data)
  }
}

/** Expects that a value is written as the serializer writes it, and returns how often the serializer was asked. */
async function expectAsSerializer(value: unknown, serializer = serializers.newest): Promise<number> {
  const counted = new Counted(serializer)
  const written = await dumpValue(counted, value)
  const [type, data] = await serializer.dumpsTyped(value)
  expect([written.type, decoder.decode(written.data)]).toEqual([type, decoder.decode(data)])
  return counted.dumps
}

class Secretive extends HumanMessage {
  override get lc_secrets() {
    return { name: 'NAME' }
  }
}

/** Has a secret if it has a name. */
class AtTimesSecretive extends HumanMessage {
  override get lc_secrets() {
    return this.name ? { name: 'NAME' } : (undefined as never) // LangChain's type has no way to say that
  }
}

class Numbered extends HumanMessage {
  override get lc_attributes() {
    return { number: 7 }
  }
}

class Renamed extends HumanMessage {
  override toJSON() {
    return { lc: 1, type: 'constructor', id: ['own'], kwargs: { text: this.content } } as never // not LangChain's own shape
  }
}

/** Hides its content if it has a name. */
class AtTimesHidden extends HumanMessage {
  override toJSON() {
    return this.name ? ({ lc: 1, type: 'constructor', id: ['own'], kwargs: {} } as never) : super.toJSON() // as above
  }
}

const circular: Record<string, unknown> = { a: 1 }
circular.self = circular

/** Values that LangGraph's serializer treats in some way of its own. */
const UNUSUAL: Record<string, () => unknown> = {
  undefined: () => undefined,
  'undefined within': () => ({ a: undefined, list: [undefined, null], none: Number.NaN, zero: -0 }),
  functions: () => ({ a: () => 1, list: [() => 1], [Symbol('b')]: 2, c: Symbol('c') }),
  holes: () => Object.assign([1], { 2: 3 }),
  'what has toJSON': () => [new Date(0), { toJSON: () => 'own' }],
  'sets and maps': () => ({ set: new Set([1, new HumanMessage('x')]), map: new Map([['a', new Map()]]) }),
  'patterns and errors': () => [/a/g, new TypeError('no')],
  bytes: () => new Uint8Array([1, 2]),
  'bytes within': () => ({ bytes: new Uint8Array([1, 2]) }),
  tasks: () => [{ lg_name: 'Send', node: 'next', args: { x: 1 } }],
  snapshots: () => new DeltaSnapshot([new HumanMessage('x')]),
  circles: () => circular,
  numbers: () => ({ big: 10n }),
  'deep values': () => JSON.parse(`${'['.repeat(500)}${']'.repeat(500)}`),
  'own prototypes': () => JSON.parse('{"__proto__":{"a":1},"b":{"__proto__":[null]}}'),
  'no prototype': () => Object.assign(Object.create(null), { b: 1, 1: 2 }),
  'what looks like a message': () => ({
    lc: 1,
    type: 'constructor',
    id: ['a'],
    kwargs: {},
    inner: new HumanMessage('x'),
  }),
  'what LangChain escapes': () => new HumanMessage({ content: 'x', additional_kwargs: { inner: { lc: 3 } } }),
  'what is escaped': () => new HumanMessage({ content: 'x', response_metadata: { __lc_escaped__: 1 } }),
  'a message in a message': () =>
    new HumanMessage({ content: 'x', response_metadata: { inner: new SystemMessage('y') } }),
  'a date in a message': () => new HumanMessage({ content: 'x', response_metadata: { at: new Date(0) } }),
  'a changed message': () =>
    Object.assign(new HumanMessage({ content: 'x' }), { content: 'y', lc_serializable: false }),
  'a message without fields': () => new HumanMessage({ content: 'x', id: undefined } as never),
  'a list with an own toJSON': () => Object.assign([1, 2], { toJSON: () => 'own' }),
  'secrets of some messages': () => ['', 'Ada'].map((name) => new AtTimesSecretive({ content: 'x', name })),
  secrets: () => new Secretive({ content: 'x', name: 'Ada' }),
  attributes: () => new Numbered('x'),
  'an own toJSON': () => new Renamed('x'),
  'an own toJSON that differs by message': () => ['', 'Ada'].map((name) => new AtTimesHidden({ content: 'x', name })),
  'an own toJSON of one message': () => Object.assign(new HumanMessage('x'), { toJSON: () => 'own' }),
}

describe('dumpValue()', () => {
  for (const [name, make] of Object.entries(MESSAGES)) {
    it(`writes messages as LangGraph's serializer does: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(text, objects, async (content, fields) => {
          await expectAsSerializer([make(content, fields), make(content, fields)])
          await expectAsSerializer({ messages: [make(content, fields)], plan: { last: make(content, {}), fields } })
        }),
        { numRuns: 100 },
      )
    })
  }

  it.each(Object.entries(UNUSUAL))('writes other values as the serializer does: %s', async (_, make) => {
    for (const serializer of Object.values(serializers)) {
      for (let i = 0; i < 3; i++) {
        await expectAsSerializer(make(), serializer)
        await expectAsSerializer([new HumanMessage({ content: 'x', id: 'm' }), make(), { a: make() }], serializer)
      }
    }
  })

  it('asks the serializer for the first message of a class and set of fields only', async () => {
    const messages = Array.from(
      { length: 20 },
      (_, i) => new ToolMessage({ content: `${i}`, tool_call_id: 'a', name: 'b' }),
    )
    expect(await expectAsSerializer(messages)).toBe(1)
    expect(await expectAsSerializer({ messages, plan: ['a', { b: null }] })).toBe(0)
  })

  it('writes what was changed in a message', async () => {
    const message = new HumanMessage({ content: 'a', additional_kwargs: { list: [1] } })
    for (let i = 0; i < 3; i++) {
      message.content = `changed ${i}`
      ;(message.additional_kwargs.list as number[]).push(i)
      await expectAsSerializer([message])
    }
  })

  it('changes nothing in what it is given', async () => {
    const state = { messages: [new HumanMessage({ content: 'a', additional_kwargs: { b: undefined } })], c: undefined }
    const before = structuredClone(state.messages[0]?.lc_kwargs)
    for (let i = 0; i < 2; i++) await expectAsSerializer(state)
    expect(state.messages[0]).toBeInstanceOf(HumanMessage)
    expect([state.messages[0]?.lc_kwargs, Object.keys(state)]).toEqual([before, ['messages', 'c']])
  })
})
