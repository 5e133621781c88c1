import { isDeepStrictEqual } from 'node:util'
import { HumanMessage, ToolMessageChunk } from '@langchain/core/messages'
import { JsonPlusSerializer, type SerializerProtocol } from '@langchain/langgraph-checkpoint'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadValue } from '../../src/adapters/langgraph-load.ts'
import { objects, text } from './arbitraries.ts'
import { MESSAGES } from './langchain-messages.ts'

const serializer = new JsonPlusSerializer()

/** LangGraph's serializer, with the number of values that it was asked for. */
class Counted implements SerializerProtocol {
  loads = 0
  dumpsTyped(value: unknown) {
    return serializer.dumpsTyped(value)
  }
  loadsTyped(type: string, data: Uint8Array | string) {
    this.loads++
    return serializer.loadsTyped(type, data)
  }
}

/** Expects that a value is read as the serializer reads it, and returns how often the serializer was asked. */
async function expectAsSerializer(value: unknown): Promise<number> {
  const [type, data] = await serializer.dumpsTyped(value)
  const counted = new Counted()
  const [read, expected] = [await loadValue(counted, { type, data }), await serializer.loadsTyped(type, data)]
  // Prototypes as well: toEqual() takes a message for an object with its fields.
  if (!isDeepStrictEqual(read, expected)) expect(read).toStrictEqual(expected)
  return counted.loads
}

function deepOf(levels: number): unknown {
  return levels === 0 ? 1 : { a: deepOf(levels - 1) }
}

describe('loadValue()', () => {
  for (const [name, make] of Object.entries(MESSAGES)) {
    it(`reads messages as LangGraph's serializer does: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(text, objects, async (content, fields) => {
          await expectAsSerializer([make(content, fields), make(content, fields)])
          await expectAsSerializer({ messages: [make(content, fields)], plan: { last: make(content, {}) } })
        }),
        { numRuns: 100 },
      )
    })
  }

  it('asks the serializer for the first message of a class and set of fields only', async () => {
    const messages = Array.from(
      { length: 20 },
      (_, i) => new HumanMessage({ content: `${i}`, id: `m${i}`, name: 'Ada' }),
    )
    expect(await expectAsSerializer(messages.slice(0, 1))).toBe(1)
    expect(await expectAsSerializer(messages)).toBe(0)
    expect(await expectAsSerializer(messages.map(({ content }) => new HumanMessage({ content, name: 'Ada' })))).toBe(20)
  })

  it('leaves a class to the serializer if its fields are stored by other names', async () => {
    const one = [new ToolMessageChunk({ content: 'late', tool_call_id: 'call' })]
    for (let i = 0; i < 3; i++) expect(await expectAsSerializer(one)).toBe(1)
  })

  it('leaves everything else that LangChain knows to the serializer', async () => {
    const message = new HumanMessage('hello')
    const nested = { lc: 1, type: 'constructor', id: ['langchain_core', 'messages', 'HumanMessage'] }
    const values = [
      undefined,
      [message, undefined, new Map([['a', [message]]]), new Set([message]), /a/g, new Error('no'), new Uint8Array(3)],
      new HumanMessage({ content: 'x', additional_kwargs: { inner: message } as Record<string, unknown> }),
      new HumanMessage({
        content: 'x',
        additional_kwargs: { lc: 1, type: 'secret', id: ['KEY'] } as Record<string, unknown>,
      }),
      { ...nested, kwargs: { content: 'forged' } },
      { ...nested, kwargs: { content: 'forged' }, more: 1 },
      {
        ...nested,
        kwargs: { content: 'x', additional_kwargs: { deep: deepOf(25) } },
      },
      { lc: 1, type: 'secret', id: ['HOME'] },
      { lc: 1, type: 'not_implemented', id: ['a'] },
      { lc: 2, type: 'unknown' },
      { lc: 'text', messages: [message] },
      { deep: JSON.parse(`${'['.repeat(100)}{"lc":3}${']'.repeat(100)}`) },
      JSON.parse('{"__proto__":{"lc":2,"type":"undefined"},"a":{"lc":1}}').a,
    ]
    for (let i = 0; i < 2; i++) for (const value of values) await expectAsSerializer(value)
  })

  it('leaves a message to the serializer if something about it is unusual', async () => {
    const messageOf = (inner: unknown) => new HumanMessage({ content: 'x', additional_kwargs: { inner } })
    await expectAsSerializer(messageOf(1))
    expect(await expectAsSerializer(messageOf(1))).toBe(0)
    expect(await expectAsSerializer(messageOf({ __lc_escaped__: { a: 1 } }))).toBe(1)
    expect(await expectAsSerializer(messageOf(deepOf(25)))).toBe(1)
    expect(await expectAsSerializer({ ...messageOf(1).toJSON(), more: 1 })).toBe(1)
    const ofFunction = { ...messageOf(1).toJSON(), id: ['langchain_core', 'messages', 'isDataContentBlock'] }
    for (let i = 0; i < 2; i++) expect(await expectAsSerializer(ofFunction)).toBe(1)
  })

  it('fails as the serializer does if a class is unknown', async () => {
    const unknown = {
      lc: 1,
      type: 'constructor',
      id: ['langchain_core', 'messages', 'Nobody'],
      kwargs: { content: 'x' },
    }
    const data = new TextEncoder().encode(JSON.stringify([unknown]))
    for (let i = 0; i < 2; i++)
      await expect(async () => loadValue(serializer, { type: 'json', data })).rejects.toThrow(/Nobody/)
  })

  it('gives each reader objects of its own', async () => {
    const [type, data] = await serializer.dumpsTyped([
      new HumanMessage({ content: 'a', additional_kwargs: { list: [1] } }),
    ])
    const read = async () => (await loadValue(serializer, { type, data })) as [HumanMessage]
    await read()
    const [[first], [second]] = [await read(), await read()]
    ;(first.additional_kwargs.list as number[]).push(2)
    expect(second.additional_kwargs).toEqual({ list: [1] })
  })
})
