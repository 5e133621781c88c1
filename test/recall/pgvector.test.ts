import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { freshPgvector, pgvectorUrl, quiet } from './backends.ts'

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
