import { openStorage, type Storage } from 'holdfast'
import { expect, it } from 'vitest'

/** What a program without types may call. */
type Untyped = Record<'kv' | 'memories' | 'messages' | 'sessions', Record<string, (...args: unknown[]) => unknown>> & {
  scope(...args: unknown[]): unknown
  erase(...args: unknown[]): unknown
}

it.each<[string, (storage: Untyped) => unknown, string]>([
  ['a text for an owner', (s) => s.erase('ada'), 'owner: must be an object, not string: known are ownerId'],
  ['no options', (s) => s.scope(), 'options: must be an object, not undefined: known are ownerId'],
  [
    'a number for options',
    (s) => s.kv.set?.('k', 1, 60),
    'options: must be an object, not number: known are sessionId,',
  ],
  ['an option of another name', (s) => s.kv.set?.('k', 1, { ttl: 60 }), 'options.ttl: is unknown here: known are sess'],
  ['a text for keys', (s) => s.kv.getMany?.('k'), 'keys: must be an array, not string'],
  ['null for keys', (s) => s.kv.getMany?.(null), 'keys: must be an array, not null'],
  ['too many keys', (s) => s.kv.getMany?.(Array(1001).fill('k')), 'keys: must have at most 1000 items'],
  ['a key without a value', (s) => s.kv.setMany?.([['k']]), 'values.0: must have at least 2 items'],
  ['a text for a pair', (s) => s.kv.setMany?.(['kv']), 'values.0: must be an array, not string'],
  ['no pairs', (s) => s.kv.setMany?.({ k: 1 }), 'values: must be pairs of key and value, such as a Map'],
  [
    'a bound of no order',
    (s) => s.kv.entries?.({ where: { a: { gt: null } } }),
    'options.where.a.gt: must be a number or text, well-formed and without NUL',
  ],
  ['an unknown order', (s) => s.messages.list?.('s', { order: 'up' }), 'options.order: must be "asc" or "desc"'],
  ['a fraction', (s) => s.messages.countByDay?.({ days: 1.5 }), 'options.days: must be an integer'],
  ['a text for a number', (s) => s.messages.countByDay?.({ days: '1' }), 'options.days: must be a number, not string'],
  ['NaN', (s) => s.messages.countByDay?.({ days: Number.NaN }), 'options.days: must be a number, not NaN'],
  ['too few days', (s) => s.messages.countByDay?.({ days: 0 }), 'options.days: must be at least 1'],
  ['too great a score', (s) => s.memories.recall?.('x', { minScore: 2 }), 'options.minScore: must be at most 1'],
  [
    'metadata of other types',
    (s) => s.memories.create?.({ content: 'x', metadata: { source: 'me', pinned: 1 } }),
    'memory.metadata.source: must be "user" or "system"\nmemory.metadata.pinned: must be true or false, not number',
  ],
])('an error says what would be right instead of %s', async (_, call, message) => {
  await using storage: Storage = await openStorage()
  const answer = (async () => call(storage as unknown as Untyped))() // what the types forbid
  await expect(answer).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(message) })
})
