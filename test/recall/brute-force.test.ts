import { createHash } from 'node:crypto'
import { type EmbeddingModel, openStorage, type Storage } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { withoutCache } from '../../src/cache/row-cache.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { VectorSupport } from '../../src/database/sqlite/vectors.ts'
import { Model } from '../../src/repositories/embeddings/model.ts'
import { openRepositories } from '../../src/repositories/repositories.ts'
import { rounds } from '../setup/rounds.ts'
import { backends, freshPgvector, lasting, pgvectorUrl, quiet } from './backends.ts'

const COUNT = rounds(2000, 10_000)
const DIMENSIONS = 48
const OWNERS = ['', 'ada', 'bob']

/** A vector of numbers from -1 to 1 that depends on the text alone. */
function vectorOf(text: string): number[] {
  const vector: number[] = []
  for (let block = 0; vector.length < DIMENSIONS; block++) {
    const hash = createHash('sha512').update(`${block} ${text}`).digest()
    for (let i = 0; i < hash.length && vector.length < DIMENSIONS; i += 4) vector.push(hash.readInt32LE(i) / 2 ** 31)
  }
  return vector
}

const model: EmbeddingModel = {
  model: 'random',
  dimensions: DIMENSIONS,
  batchSize: 500,
  embed: async (texts) => texts.map(vectorOf),
}

/** Some texts are equal, so that their order has to be decided by their keys. */
const textOf = (n: number) => (n % 20 === 0 ? 'ok' : `text ${n}`)
const sessionOf = (n: number) => `chat-${n % 7}`
const ownerOf = (n: number) => OWNERS[n % OWNERS.length] ?? ''
const roleOf = (n: number) => (n % 5 === 0 ? 'assistant' : 'user')

interface Stored {
  sessionId: string
  ownerId: string
  seq: number
  role: string
  text: string
}

async function fill(storage: Storage): Promise<Stored[]> {
  const stored: Stored[] = []
  for (const ownerId of OWNERS) {
    const handle = ownerId === '' ? storage : storage.scope({ ownerId })
    for (let session = 0; session < 7; session++) {
      const own = Array.from({ length: COUNT }, (_, n) => n).filter((n) => n % 7 === session && ownerOf(n) === ownerId)
      const messages = own.map((n) => ({ role: roleOf(n), content: textOf(n) }))
      for (let from = 0; from < messages.length; from += 1000) {
        const appended = await handle.messages.append(sessionOf(session), messages.slice(from, from + 1000))
        for (const { seq, role, content } of appended) {
          stored.push({ sessionId: sessionOf(session), ownerId, seq, role, text: String(content) })
        }
      }
    }
  }
  await storage.embedPending()
  return stored
}

const length = (vector: number[]) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))

/** The naive search: a loop over everything, with the numbers of the model. */
function bruteForce(stored: readonly Stored[], query: number[], limit: number) {
  const scored = stored.map((message) => {
    const vector = vectorOf(message.text)
    const product = vector.reduce((sum, value, i) => sum + value * (query[i] ?? 0), 0)
    return { ...message, score: product / length(vector) / length(query) }
  })
  const key = ({ sessionId, ownerId, seq }: Stored) =>
    `${sessionId} ${ownerId.padEnd(4)} ${String(seq).padStart(6, '0')}`
  return scored
    .sort((a, b) => (Math.abs(b.score - a.score) > 1e-9 ? b.score - a.score : key(a) < key(b) ? 1 : -1))
    .slice(0, limit)
}

async function compare(of: (ownerId: string) => Pick<Storage, 'messages'>, stored: readonly Stored[]): Promise<void> {
  for (const text of ['ok', 'text 7', 'something else']) {
    const vector = vectorOf(text)
    for (const [ownerId, filters] of [
      ['', {}],
      ['', { role: 'assistant' }],
      ['ada', {}],
      ['ada', { sessionId: 'chat-3' }],
      ['bob', { role: 'user', sessionId: 'chat-1' }],
    ] as const) {
      const { items } = await of(ownerId).messages.recall('', { vector, limit: 50, ...filters })
      const among = stored.filter(
        (message) =>
          (ownerId === '' || message.ownerId === ownerId) &&
          Object.entries(filters).every(([name, value]) => Reflect.get(message, name) === value),
      )
      const expected = bruteForce(among, vector, 50)
      expect(items.map(({ message }) => [message.sessionId, message.seq, message.content])).toEqual(
        expected.map((message) => [message.sessionId, message.seq, message.text]),
      )
      for (const [i, { score }] of items.entries()) expect(score).toBeCloseTo(expected[i]?.score ?? 0, 5)
    }
    // The naive search that forgets the owner returns what others have.
    const naive = bruteForce(stored, vector, 50)
    expect(naive.some(({ ownerId }) => ownerId !== 'ada')).toBe(true)
  }
}

const handlesOf = (storage: Storage) => (ownerId: string) => (ownerId === '' ? storage : storage.scope({ ownerId }))

describe(`recall equals brute force over ${COUNT} vectors`, () => {
  test.each(Object.entries(backends))('on %s', async (_, configure) => {
    await using storage = await openStorage(await configure(), { ...quiet, embedding: model })
    await compare(handlesOf(storage), await fill(storage))
  })

  // The tests have sqlite-vec installed, and programs may lack it.
  test('on SQLite without sqlite-vec', async () => {
    const config = (await lasting.SQLite?.()) ?? {}
    const storage = await openStorage(config, { ...quiet, embedding: model })
    const stored = await fill(storage)
    await storage.close()
    const hasExtension = async (vectors: VectorSupport) => {
      const database = await openDatabase(resolveConfig(config).database, { migrate: false, vectors })
      const version = { sql: 'select vec_version()', params: [], writes: false }
      return { database, hasIt: await database.run(version).then(Boolean, () => false) }
    }
    const [extended, { database, hasIt }] = [await hasExtension(true), await hasExtension('portable')]
    expect([extended.hasIt, hasIt]).toEqual([true, false])
    const embedding = {
      model: new Model(model),
      mayCall: true,
      pgvector: undefined,
      hasPending: false,
      written: () => {},
    }
    const context = {
      now: () => new Date(),
      confirmedNow: async () => new Date(),
      cache: withoutCache,
      observer: { source: { database: 'sqlite' as const } },
      onMemoryCreated: () => {},
      embedding,
    }
    await compare((owner) => openRepositories(database, context, owner === '' ? undefined : owner), stored)
    await extended.database.close()
    await database.close()
  })

  if (pgvectorUrl !== undefined) {
    const url = pgvectorUrl
    test('on PostgreSQL with pgvector', async () => {
      await using storage = await openStorage(await freshPgvector(url), { ...quiet, embedding: model })
      const stored = await fill(storage)
      expect(await storage.enablePgvector()).toBe(COUNT)
      await compare(handlesOf(storage), stored)
    })
  }
})
