import { deepStrictEqual } from 'node:assert'
import type { AgentInputItem } from '@openai/agents-core'
import { type ModelMessage, modelMessageSchema } from 'ai'
import fc from 'fast-check'
import { type Message, type MessageInput, openStorage } from 'holdfast'
import {
  fromChatMessage,
  fromModelMessage,
  fromResponseItem,
  fromUIMessage,
  toChatMessage,
  toModelMessage,
  toResponseItem,
  toUIMessage,
} from 'holdfast/messages'
import { fromOpenAIItem, toOpenAIItem } from 'holdfast/openai-agents'
import type OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { json, objects, text, withSome } from './arbitraries.ts'

type Chat = OpenAI.Chat.Completions.ChatCompletionMessageParam
type Item = OpenAI.Responses.ResponseInputItem

const MODEL: ModelMessage[] = [
  { role: 'system', content: 'Be brief.', providerOptions: { anthropic: { cacheControl: { type: 'ephemeral' } } } },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'What is on it? \u0000 \ud800' },
      { type: 'image', image: new URL('https://example.org/a.png') },
      { type: 'file', data: new Uint8Array([0, 255]), mediaType: 'application/pdf' },
      { type: 'file', data: new Uint8Array([1]).buffer, mediaType: 'audio/wav' },
    ],
  },
  {
    role: 'assistant',
    content: [
      { type: 'reasoning', text: 'hm', providerOptions: { p: { signature: 'x' } } },
      { type: 'tool-call', toolCallId: 'c', toolName: 'search', input: { q: '東京' } },
    ],
  },
  {
    role: 'tool',
    content: [{ type: 'tool-result', toolCallId: 'c', toolName: 'search', output: { type: 'json', value: [1, null] } }],
  },
]
const CHAT: Chat[] = [
  { role: 'developer', content: 'Be brief.', name: 'boss' },
  { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.org/a.png' } }] },
  {
    role: 'assistant',
    content: null,
    refusal: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'search', arguments: '{"q":"東京"}' } }],
  },
  { role: 'assistant', tool_calls: [{ id: 'd', type: 'custom', custom: { name: 'x', input: '' } }] },
  { role: 'tool', tool_call_id: 'c', content: '' },
]
const ITEMS: Item[] = [
  { role: 'user', content: 'Hello' },
  { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
  { type: 'reasoning', id: 'r', summary: [], encrypted_content: 'x' },
  { type: 'function_call', call_id: 'c', name: 'search', arguments: '{}' },
  { type: 'function_call_output', call_id: 'c', output: '[]' },
  { type: 'item_reference', id: 'i' },
]

/** Returns a message as it is read back after its append. */
function stored({ id = 'id', role, content, metadata = {} }: MessageInput): Message {
  const input = JSON.parse(JSON.stringify({ role, content, metadata }))
  return { sessionId: 'chat', seq: 1, id, createdAt: new Date(), ...input }
}

eachDatabase((open) => {
  it('every converter returns what was appended', async () => {
    await using storage = await open()
    const roundTrip = async <T>(items: T[], from: (item: T) => MessageInput, to: (message: Message) => T) => {
      const sessionId = `${from.name} ${Math.random()}`
      await storage.messages.append(sessionId, items.map(from))
      deepStrictEqual((await storage.messages.latest(sessionId, 100)).map(to), items)
      return (await storage.messages.latest(sessionId, 100)).map(({ role }) => role)
    }
    await roundTrip(MODEL, fromModelMessage, toModelMessage<ModelMessage>)
    await roundTrip(CHAT, fromChatMessage, toChatMessage<Chat>)
    const roles = await roundTrip(ITEMS, fromResponseItem, toResponseItem<Item>)
    expect(roles).toEqual(['user', 'user', 'assistant', 'assistant', 'tool', 'assistant'])
  })
})

describe('whatever fields there are', () => {
  const role = fc.oneof(fc.constantFrom('user', 'assistant', 'tool'), text, json)
  const part = fc.oneof(
    fc.tuple(text, objects).map(([type, object]) => ({ ...object, type })),
    objects.map((item) => ({ type: 'item', item })),
  )
  const content = fc.oneof(text, fc.array(part, { maxLength: 3 }), json)
  const item = fc
    .tuple(withSome({}, { role, content, type: text }), objects)
    .map(([known, object]): Record<string, unknown> => ({ ...object, ...known }))
  const runs = { numRuns: rounds(500, 20_000) }

  it.each<[name: string, (item: Record<string, unknown>) => unknown]>([
    ['toChatMessage()', (given) => toChatMessage(stored(fromChatMessage(given as unknown as Chat)))],
    ['toModelMessage()', (given) => toModelMessage(stored(fromModelMessage(given as unknown as ModelMessage)))],
    ['toResponseItem()', (given) => toResponseItem(stored(fromResponseItem(given)))],
    ['toOpenAIItem()', (given) => toOpenAIItem(stored(fromOpenAIItem(given as unknown as AgentInputItem)))],
  ])('%s returns an equal message', (_, roundTrip) => {
    fc.assert(
      fc.property(item, (given) => deepStrictEqual(roundTrip(given), given)),
      runs,
    )
  })

  it('every message can be stored', async () => {
    await using storage = await openStorage({}, quiet)
    await fc.assert(
      fc.asyncProperty(item, async (given) => {
        const message = await storage.messages.append('chat', fromChatMessage(given as unknown as Chat))
        deepStrictEqual(toChatMessage(message), given)
      }),
      { numRuns: rounds(200, 2000) },
    )
  })
})

it('a message that contains itself, or is nested too deeply, is refused by name', async () => {
  await using storage = await openStorage({}, quiet)
  const itself: Record<string, unknown> = { role: 'user', content: 'Hello' }
  Object.assign(itself, { one: itself, two: [itself] })
  let deep: unknown = 1
  for (let i = 0; i < 100_000; i++) deep = [deep]
  for (const given of [itself, { role: 'user', content: 'Hello', deep }]) {
    const append = async () => storage.messages.append('chat', fromChatMessage(given as unknown as Chat))
    await expect(append()).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('nested more than 500 deep'),
    })
  }
})

it('a message of another part of the program has a role and a content', () => {
  const message = stored({ role: 'user', content: 'Hello', metadata: { topic: 'trains' } })
  expect([toModelMessage(message), toChatMessage(message), toResponseItem(message)]).toEqual(
    Array(3).fill({ role: 'user', content: 'Hello' }),
  )
  const parts = [{ type: 'text', text: 'Hello' }]
  expect(toUIMessage(message)).toEqual({ id: 'id', role: 'user', metadata: { topic: 'trains' }, parts })
  expect(toUIMessage(stored(fromUIMessage({ id: 'u', role: 'user', parts })))).toEqual({ id: 'u', role: 'user', parts })
})

it('the AI SDK accepts the model messages that come back', () => {
  for (const message of MODEL) modelMessageSchema.parse(toModelMessage(stored(fromModelMessage(message))))
})
