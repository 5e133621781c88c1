import fc from 'fast-check'
import type { MessageInput, Storage } from 'holdfast'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { rounds } from '../setup/rounds.ts'
import { eachDatabase } from './databases.ts'

const numRuns = rounds(60, 2000)

/** Any sequence of UTF-16 units, including NUL and lone surrogates. */
const anyText = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) })
/** Text that a column can store: well-formed, without NUL. */
const storable = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'))
const identifier = storable.filter((text) => text !== '' && Buffer.byteLength(text) <= 100)
const instant = fc.date({
  min: new Date('0001-01-01T00:00:00.000Z'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})

const awkward = [
  '"10"',
  '10',
  '"null"',
  'null',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '9007199254740992',
  '1e308',
  '5e-324',
  '{"b":1,"a":2,"10":3,"2":4}',
  '{"__proto__":{"a":1},"constructor":2,"toString":null}',
  '{"":{"":[]}}',
  `${'['.repeat(100)}${']'.repeat(100)}`,
  `${'{"a":'.repeat(100)}"deep"${'}'.repeat(100)}`,
]

/** Any JSON value. Values that JSON does not distinguish, such as -0 and 0, are one. */
const json = fc
  .oneof(
    fc.constantFrom(...awkward).map((text): unknown => JSON.parse(text)),
    fc.jsonValue({ stringUnit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
    fc.dictionary(anyText, fc.oneof(fc.constantFrom(...awkward.map((text): unknown => JSON.parse(text))), anyText)),
  )
  .map((value): unknown => JSON.parse(JSON.stringify(value)))

/** Expects equal values with the same order of keys. */
function expectSame(actual: unknown, given: unknown): void {
  expect(JSON.stringify(actual)).toBe(JSON.stringify(given))
  expect(actual).toStrictEqual(given)
}

eachDatabase((open) => {
  let storage: Storage
  let run = 0
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())

  /** Checks a property for many examples. `name` is new for each example. */
  const holds = <T>(arbitrary: fc.Arbitrary<T>, property: (example: T, name: string) => Promise<void>) =>
    fc.assert(
      fc.asyncProperty(arbitrary, (example) => property(example, `${run++}`)),
      { numRuns },
    )

  it('kv and lists return any JSON unchanged', () =>
    holds(json, async (value, key) => {
      const { kv, lists } = storage
      expectSame((await kv.set(key, value)).value, value)
      for (let reads = 0; reads < 2; reads++) expectSame(await kv.get(key), value) // from the database, then cached
      expectSame((await kv.getMany([key])).get(key), value)
      await lists.append(key, value, [value])
      expectSame(await lists.range(key, 0, 10), [value, [value]])
      await lists.update(key, (items) => ({ items: [{ value }, ...items], result: undefined }))
      expectSame(await lists.range(key, 0, 10), [{ value }, value, [value]])
    }))

  it('messages and sessions return any JSON unchanged', () =>
    holds(fc.tuple(fc.array(fc.tuple(storable, json)), anyText, json), async ([parts, text, value], id) => {
      const { messages, sessions } = storage
      const metadata = { text, [text]: value }
      const message = async (input: MessageInput) => {
        const stored = await messages.append(id, input)
        expectSame([stored.content, stored.metadata], [input.content, input.metadata])
        expectSame(await messages.get(id, stored.id), stored)
      }
      await message({ role: 'user', content: text, metadata })
      await message({ role: 'user', content: parts.map(([type, data]) => ({ type, data })), metadata })
      expectSame((await sessions.mergeMetadata(id, metadata)).metadata, metadata)
      for (let reads = 0; reads < 2; reads++) expectSame((await sessions.get(id))?.metadata, metadata)
      expectSame((await sessions.fork(id)).metadata, metadata)
    }))

  it('columns, ids and keys return any well-formed text unchanged', () =>
    holds(fc.tuple(storable, identifier, identifier), async ([title, ownerId, role], name) => {
      const { kv, lists, messages, sessions } = storage
      const id = name + ownerId
      const session = await sessions.create({ id, title, ownerId })
      expect([session.id, session.title, session.ownerId]).toEqual([id, title, ownerId])
      for (let reads = 0; reads < 2; reads++) expect(await sessions.get(id)).toEqual(session)
      expect((await sessions.list({ ownerId, limit: 1000 })).items.map((listed) => listed.id)).toContain(id)
      const message = await messages.append(id, { id: ownerId, role: role.slice(0, 50).toWellFormed(), content: title })
      expect(await messages.get(id, ownerId)).toEqual(message)
      await kv.set(id, title)
      await lists.append(id, title)
      expect((await kv.keys({ prefix: id })).items).toContain(id)
      expect((await lists.keys({ prefix: id })).items).toContain(id)
    }))

  it('the other repositories return any JSON unchanged', () =>
    holds(fc.tuple(json, anyText), async ([value, text], name) => {
      const { approvals, events, memories, prompts, queues, toolExecutions, toolState, workspaces } = storage
      const metadata = { text, [text]: value }
      const own = `agent ${name}`
      const event = await events.append({ type: 'a', runId: own, payload: value })
      expectSame([event.payload, (await events.list({ runId: own })).items[0]], [value, event])
      const item = { ...metadata, id: own }
      await queues.push(own, 'q', item)
      expectSame([(await queues.list(own, 'q')).items, await queues.takeAll(own, 'q')], [[item], [item]])
      const memory = await memories.create({ content: 'x' })
      expectSame((await memories.update(memory.id, { metadata: { custom: metadata } })).metadata, { custom: metadata })
      await prompts.save({ name: own, content: value, metadata })
      await toolState.set('tool', own, value)
      await approvals.setState(value, own)
      for (let reads = 0; reads < 2; reads++) {
        const prompt = await prompts.get(own)
        expectSame([prompt?.content, prompt?.metadata], [value, metadata])
        expectSame([await toolState.get('tool', own), await approvals.getState(own)], [value, value])
      }
      expectSame((await workspaces.save({ path: own, metadata })).metadata, metadata)
      const identity = { runId: own, turnId: 't', modelStepId: 's', toolCallId: 'c' }
      const { record } = await toolExecutions.start({ identity, toolName: 't', input: value })
      const completed = await toolExecutions.complete(record.executionId, metadata)
      expectSame([completed.input, completed.output], [value, metadata])
      expectSame(await toolExecutions.complete(record.executionId, metadata), completed)
      const { id, request } = await approvals.request({ type: 'tool', request: value })
      const { response } = await approvals.respond({ id, decision: 'approved', data: metadata })
      expectSame([request, response.data, (await approvals.get(id))?.response], [value, metadata, response])
    }))

  it('dates of the years 1 to 9999 come back unchanged', () =>
    holds(instant, async (date, id) => {
      const { messages, sessions } = storage
      const session = await sessions.create({ id: `instant ${id}`, expiresAt: date })
      expect(session.expiresAt).toEqual(date)
      const message = await messages.append(id, { role: 'user', content: null, createdAt: date })
      expect((await messages.get(id, message.id))?.createdAt).toEqual(date)
    }))
})
