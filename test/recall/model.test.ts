import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import { type EmbeddingModel, openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import postgres from 'postgres'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { lasting, quiet } from './backends.ts'

const words = wordEmbedding()
const memory = { database: { type: 'in-memory' } } as const
const until = (condition: () => unknown) => vi.waitFor(condition, { timeout: 10_000, interval: 10 })

/** A model that does as `broken` until it is repaired. */
function repairable(broken: EmbeddingModel['embed'], options: Partial<EmbeddingModel> = {}) {
  const state = { isBroken: true, calls: [] as string[][] }
  const embed: EmbeddingModel['embed'] = (texts, call) => {
    state.calls.push(texts)
    return state.isBroken ? broken(texts, call) : words.embed(texts, call)
  }
  return { model: { ...words, ...options, embed }, state }
}

const failures: Record<string, EmbeddingModel['embed']> = {
  rejects: async () => Promise.reject(new Error('401: no such key')),
  'throws at once': () => {
    throw new Error('401: no such key')
  },
  hangs: () => new Promise(() => {}),
  'answers with too few vectors': async (texts) => (await words.embed(texts, never)).slice(1),
  'answers with other dimensions': async (texts) => texts.map(() => [1, 2, 3]),
  'answers with NaN': async (texts) => texts.map(() => new Array(256).fill(Number.NaN)),
  'answers with zeros': async (texts) => texts.map(() => new Float32Array(256)),
  'answers with texts': async (texts) => texts as unknown as number[][],
  'answers with an array that has a hole': async (texts) => new Array(texts.length),
  'answers with nothing': async () => undefined as unknown as number[][],
}
const never = { signal: new AbortController().signal, purpose: 'document' } as const

test.each(Object.entries(failures))(
  'a model that %s fails no write, and the text is embedded later',
  async (_, broken) => {
    const { model, state } = repairable(broken, { timeoutMillis: 50 })
    const lines: [string, unknown][] = []
    const logger = { ...quiet.logger, warn: (message: string, details: unknown) => lines.push([message, details]) }
    await using storage = await openStorage(memory, { maintenance: false, logger, embedding: model })
    await storage.memories.create({ content: 'Ada likes window seats' })
    await expect(storage.embedPending()).rejects.toMatchObject({ code: 'EMBEDDING_FAILED', retryable: true })
    await expect(storage.memories.recall('seats')).rejects.toMatchObject({ code: 'EMBEDDING_FAILED' })
    expect((await storage.stats()).embeddings?.pending).toBe(1)
    expect((await storage.memories.list()).items).toHaveLength(1)
    state.isBroken = false
    await storage.embedPending()
    expect((await storage.memories.recall('seats')).items).toHaveLength(1)
    expect(JSON.stringify(lines)).not.toContain('window')
  },
)

test('what was written is embedded soon, in few calls, and a failed call is repeated after a pause', async () => {
  const { model, state } = repairable(async () => Promise.reject(new Error('503')))
  const warn = vi.fn()
  await using storage = await openStorage(memory, {
    maintenance: false,
    logger: { ...quiet.logger, warn },
    embedding: model,
  })
  await Promise.all(Array.from({ length: 10 }, (_, n) => storage.memories.create({ content: `Memory ${n}` })))
  await until(() => expect(warn).toHaveBeenCalledTimes(2)) // the other warns of a database in memory
  expect(warn.mock.calls.at(-1)?.[1]).toMatchObject({ code: 'EMBEDDING_FAILED', attempt: 1, err: { message: '503' } })
  expect((await storage.memories.recall('x', { vector: (await words.embed(['x'], never))[0] })).incomplete).toBe(true)
  state.isBroken = false
  await until(async () => expect((await storage.stats()).embeddings?.pending).toBe(0))
  expect(state.calls.length).toBeLessThanOrEqual(5) // 10 texts, then 5 and 5
})

test('a text that the model refuses holds no other back', async () => {
  const model: EmbeddingModel = {
    ...words,
    embed: async (texts, call) => {
      if (texts.some((text) => text.includes('forbidden'))) throw new Error('refused')
      return words.embed(texts, call)
    },
  }
  await using storage = await openStorage(memory, { ...quiet, embedding: model })
  for (let n = 0; n < 20; n++) await storage.memories.create({ content: n === 7 ? 'forbidden' : `Memory ${n}` })
  await expect(storage.embedPending()).rejects.toThrow('refuses 1 of the texts')
  expect((await storage.stats()).embeddings?.pending).toBe(1)
  const vector = (await words.embed(['Memory'], never))[0]
  expect((await storage.memories.recall('', { vector, limit: 100 })).items).toHaveLength(19)
})

test('a text that changes while the model works is not stored with the old vector', async () => {
  for (const configure of Object.values(lasting)) {
    let release = () => {}
    const asked: string[] = []
    const model: EmbeddingModel = {
      ...words,
      embed: async (texts, call) => {
        asked.push(...texts)
        if (texts.includes('The code is zebra')) await new Promise<void>((resolve) => (release = resolve))
        return words.embed(texts, call)
      },
    }
    await using storage = await openStorage(await configure(), { ...quiet, embedding: model })
    const { id } = await storage.memories.create({ content: 'The code is zebra' })
    await until(() => expect(asked).toEqual(['The code is zebra']))
    await storage.memories.update(id, { content: 'Nothing to see' })
    release()
    await storage.embedPending()
    const vector = (await words.embed(['code zebra'], never))[0]
    const options = { mode: 'vector', vector, minScore: 0.3 } as const
    expect((await storage.memories.recall('', options)).items).toEqual([])
    expect((await storage.memories.recall('nothing to see', { ...options, vector: undefined })).items).toHaveLength(1)
  }
})

test('on PostgreSQL, no transaction of the program is rolled back in favour of the queue', async () => {
  // Who waits last for a deadlock finds it, and is rolled back.
  const url = await freshPostgres({ deadlock_timeout: '1ms' })
  const config = { database: { type: 'postgres', url } } as const
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await using storage = await openStorage(config, quiet)
  const texts = ['m1', 'm2', 'm3'].map((id) => ({ id, role: 'user', content: `text ${id}` }))
  await storage.messages.append('chat', texts)
  await using embedding = await openStorage(config, { ...quiet, embedding: words })
  const embedded: Promise<number>[] = []
  await storage.transaction(async (tx) => {
    await tx.messages.update('chat', 'm3', { content: 'changed' })
    embedded.push(embedding.embedPending())
    await until(async () => {
      const waiting = sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(await waiting).toHaveLength(1)
    })
    await tx.messages.update('chat', 'm1', { content: 'changed' })
  })
  await Promise.all(embedded)
  await embedding.embedPending()
  expect((await embedding.stats()).embeddings).toMatchObject({ models: { 'words/256': 3 }, pending: 0 })
})

test('a text that another program has changed is not found by its old vector, and is embedded again', async () => {
  const config = (await lasting.SQLite?.()) ?? {}
  await using storage = await openStorage(config, { ...quiet, embedding: words })
  const { id } = await storage.memories.create({ content: 'The code is zebra' })
  await storage.embedPending()
  const raw = new BetterSqlite3(String(Reflect.get(config.database ?? {}, 'path')))
  raw.prepare('update memories set content = ? where id = ?').run('Nothing to see', id)
  // The naive search takes every vector for current.
  expect(raw.prepare('select count(*) from memory_embeddings where vector is not null').pluck().get()).toBe(1)
  raw.close()
  expect((await storage.memories.recall('code zebra', { mode: 'vector' })).items).toEqual([])
  await storage.embedPending()
  expect((await storage.memories.recall('nothing to see', { mode: 'vector', minScore: 0.9 })).items).toHaveLength(1)
})

test('the model is called while nobody holds a lock, and with the purpose', async () => {
  const config = (await lasting.SQLite?.()) ?? {}
  const file = String(Reflect.get(config.database ?? {}, 'path'))
  const purposes: string[] = []
  const model: EmbeddingModel = {
    ...words,
    embed: async (texts, call) => {
      const other = new BetterSqlite3(file, { timeout: 0 })
      other.exec('begin immediate; rollback') // fails if a transaction is open
      other.close()
      purposes.push(call.purpose)
      return words.embed(texts, call)
    },
  }
  await using storage = await openStorage(config, { ...quiet, embedding: model })
  await storage.transaction(async (tx) => {
    await tx.messages.append('chat', { role: 'user', content: 'Hello' })
    await sleep(20)
    expect(purposes).toEqual([])
  })
  await storage.embedPending()
  await storage.messages.recall('Hello', { mode: 'vector' })
  expect(purposes).toEqual(['document', 'query'])
})

test('embedPending() ends with its signal, says how far it is, and close() does not wait for the model', async () => {
  const { model, state } = repairable(() => new Promise(() => {}), { batchSize: 2 })
  const storage = await openStorage(memory, { ...quiet, embedding: model })
  for (let n = 0; n < 6; n++) await storage.memories.create({ content: `Memory ${n}` })
  const controller = new AbortController()
  const call = storage.embedPending({ signal: controller.signal })
  controller.abort()
  await expect(call).rejects.toMatchObject({ code: 'ABORTED' })
  const waiting = storage.embedPending().catch((error: { code: string }) => error.code)
  await storage.close()
  expect(await waiting).toBe('CLOSED')

  state.isBroken = false
  await using other = await openStorage(memory, { ...quiet, embedding: model })
  const steps: number[] = []
  for (let n = 0; n < 6; n++) await other.memories.create({ content: `Memory ${n}` })
  const embedded = await other.embedPending({ onProgress: (progress) => steps.push(progress.embedded) })
  expect(steps.at(-1)).toBe(embedded)
  const onProgress = () => {
    throw new Error('of the caller')
  }
  await other.memories.create({ content: 'One more' })
  await expect(other.embedPending({ onProgress })).rejects.toThrow('of the caller')
  expect((await other.stats()).embeddings?.pending).toBe(0)
})

test('removeEmbeddings() takes the longest name that stats() returns', async () => {
  const model = { ...words, model: 'x'.repeat(200) }
  await using storage = await openStorage(memory, { ...quiet, embedding: model })
  await storage.memories.create({ content: 'Ada likes window seats' })
  await storage.embedPending()
  const [name = ''] = Object.keys((await storage.stats()).embeddings?.models ?? {})
  expect(await storage.removeEmbeddings({ model: name })).toBe(1)
})

test('a long text reaches the model up to maxCharacters', async () => {
  const { model, state } = repairable(words.embed, { maxCharacters: 10 })
  await using storage = await openStorage(memory, { ...quiet, embedding: model })
  await storage.memories.create({ content: 'x'.repeat(9000) })
  await storage.embedPending()
  expect(state.calls).toEqual([['x'.repeat(10)]])
})
