import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { Repositories, Storage, StorageConfig } from 'holdfast'
import { openStorage } from 'holdfast'
import { afterAll, describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../../setup/databases.ts'
import { rounds } from '../../setup/rounds.ts'
import { answers, cacheConfigs } from './storages.ts'

const json = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' })
const object = fc.dictionary(fc.string(), json, { maxKeys: 4 })
const instant = fc.date({ min: new Date('2100-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
const word = fc.stringMatching(/^[a-z]{1,5}$/)
const text = fc.string({ unit: 'grapheme' })

interface CachedRead<T> {
  row: fc.Arbitrary<T>
  write(to: Repositories, row: T): Promise<unknown>
  read(from: Repositories): Promise<unknown>
}

function cachedRead<T>(read: CachedRead<T>): CachedRead<unknown> {
  return read as CachedRead<unknown> // `write` only gets rows from its own `row`
}

const reads: Record<string, CachedRead<unknown>> = {
  'sessions.get': cachedRead({
    row: fc.record({
      title: fc.option(text),
      ownerId: fc.option(word),
      metadata: object,
      expiresAt: fc.option(instant),
    }),
    async write(to, row) {
      await to.sessions.delete('s')
      await to.sessions.create({ id: 's', ...row })
    },
    read: (from) => from.sessions.get('s'),
  }),
  'kv.get': cachedRead({
    row: json,
    write: (to, value) => to.kv.set('k', value),
    read: (from) => from.kv.get('k'),
  }),
  'kv.getEntry': cachedRead({
    row: fc.record({ value: json, ttlSeconds: fc.option(fc.integer({ min: 100, max: 1e9 }), { nil: undefined }) }),
    write: (to, { value, ttlSeconds }) => to.kv.set('k', value, { ttlSeconds }),
    read: (from) => from.kv.getEntry('k'),
  }),
  'prompts.get': cachedRead({
    row: fc.record({ content: json, description: fc.option(text), metadata: object }),
    write: (to, row) => to.prompts.save({ name: 'p', ...row }),
    read: (from) => from.prompts.get('p'),
  }),
  'toolState.get': cachedRead({
    row: json,
    write: (to, value) => to.toolState.set('tool', 'k', value),
    read: (from) => from.toolState.get('tool', 'k'),
  }),
  'toolPreferences.getPreferences': cachedRead({
    row: fc.record({ autoApproved: fc.array(word), disabled: fc.array(word) }, { requiredKeys: [] }),
    write: (to, row) => to.toolPreferences.setPreferences(row, 's'),
    read: (from) => from.toolPreferences.getPreferences('s'),
  }),
  'approvals.getState': cachedRead({
    row: json,
    write: (to, state) => to.approvals.setState(state),
    read: (from) => from.approvals.getState(),
  }),
}

const configs: Record<string, () => Promise<StorageConfig>> = {
  'in memory, over SQLite': async () => ({
    cache: cacheConfigs.memory?.(),
    database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options: { synchronous: 'normal' } },
  }),
  'in Redis, over PostgreSQL': async () => ({
    cache: cacheConfigs.redis?.(),
    database: { type: 'postgres', url: await freshPostgres() },
  }),
}

describe.each(Object.entries(configs))('with a cache %s,', (_name, config) => {
  let opening: Promise<Storage> | undefined
  const open = async () => (opening ??= openStorage(await config(), { maintenance: false }))
  afterAll(async () => (await opening)?.close())

  it.each(Object.entries(reads))(
    '%s() returns a copy of what the database returns',
    async (_read, { row, write, read }) => {
      const storage = await open()
      const property = fc.asyncProperty(row, async (given) => {
        await write(storage, given)
        const loaded = await storage.transaction(read)
        const expected = inspect(loaded, { depth: Infinity, maxStringLength: null })
        const missed = await read(storage)
        const before = await answers(storage)
        const hits = [await read(storage), await read(storage)]
        expect(await answers(storage)).toEqual({ ...before, hits: before.hits + 2 })
        for (const got of [missed, ...hits]) {
          expect(got).toStrictEqual(loaded)
          // inspect() also shows the order of keys and the sign of zero.
          expect(inspect(got, { depth: Infinity, maxStringLength: null })).toBe(expected)
          spoil(got)
        }
        expect(inspect(await read(storage), { depth: Infinity, maxStringLength: null })).toBe(expected)
      })
      await fc.assert(property, { numRuns: rounds(15, 1000) })
    },
  )

  it('kv.getEntry() returns a separate copy to each of 20 concurrent readers', async () => {
    const storage = await open()
    await storage.kv.set('shared', { list: [1] })
    const got = await Promise.all(Array.from({ length: 20 }, () => storage.kv.getEntry('shared')))
    for (const entry of got) {
      expect(entry).toMatchObject({ value: { list: [1] } })
      spoil(entry)
    }
    expect(await storage.kv.get('shared')).toEqual({ list: [1] })
  })
})

/** Changes every object within a value. */
function spoil(value: unknown): void {
  if (value instanceof Date) value.setTime(0)
  else if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) spoil(item)
    Object.assign(value, { spoiled: true })
    if (Array.isArray(value)) value.push('spoiled')
  }
}
