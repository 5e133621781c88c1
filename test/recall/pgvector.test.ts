import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { freshPgvector, pgvectorUrl, quiet } from './backends.ts'

test('without pgvector PostgreSQL refuses to compare more than 20,000 vectors, and names it', async () => {
  const url = await freshPostgres()
  const config = { database: { type: 'postgres', url } } as const
  await using storage = await openStorage(config, { ...quiet, embedding: wordEmbedding({ dimensions: 2 }) })
  const client = postgres(url, { max: 1 })
  await client.unsafe(`insert into memories (id, owner_id, content, metadata, pinned, created_at, updated_at)
    select i::text, case when i % 2 = 0 then 'ada' else '' end, 'x', '{}', false, now(), now() from generate_series(1, 20001) i`)
  await client.unsafe(`insert into memory_embeddings (memory_id, owner_id, model, text_hash, vector)
    select id, owner_id, 'words/2', '', '\\x0000803f00000000' from memories`)
  await client.end()
  const options = { vector: [1, 0], mode: 'vector' } as const
  const refusal = storage.memories.recall('', options)
  await expect(refusal).rejects.toMatchObject({ code: 'INVALID_STATE', message: expect.stringContaining('pgvector') })
  // A scope has half of them. The hashes are of other texts, so none is returned.
  expect((await storage.scope({ ownerId: 'ada' }).memories.recall('', { ...options, limit: 1 })).items).toEqual([])
})

test('SQLite has no pgvector, and says so', async () => {
  await using storage = await openStorage({}, quiet)
  await expect(storage.enablePgvector()).rejects.toMatchObject({ code: 'INVALID_STATE' })
})

describe('with pgvector', () => {
  const url = pgvectorUrl
  if (url === undefined) {
    // Debian 12 has no package of pgvector. docs/recall.md and CONTRIBUTING.md name the variable.
    test('the tests need TEST_PGVECTOR_URL, a server with pgvector', () => expect(url).toBeUndefined())
    return
  }
  test('enablePgvector() converts what is stored, and PostgreSQL compares from then on', async () => {
    await using storage = await openStorage(await freshPgvector(url), { ...quiet, embedding: wordEmbedding() })
    await storage.memories.create({ content: 'Ada likes window seats' })
    await storage.messages.append('chat', { role: 'user', content: 'A window seat, please' })
    await storage.embedPending()
    expect(await storage.enablePgvector()).toBe(2)
    expect(await storage.enablePgvector()).toBe(0)
    await storage.memories.create({ content: 'Bob pays by invoice' })
    await storage.embedPending()
    const { items } = await storage.memories.recall('window seats', { mode: 'vector' })
    expect(items.map(({ memory }) => memory.content)).toEqual(['Ada likes window seats', 'Bob pays by invoice'])
    expect((await storage.messages.recall('window seats', { mode: 'vector', sessionId: 'chat' })).items).toHaveLength(1)
  })
})
