import { eq } from 'drizzle-orm'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { openDatabase } from '../../src/database/open.ts'
import { STATE } from '../../src/repositories/search/state.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { checkIndex, lasting } from './databases.ts'

const MESSAGES = rounds(3000, 100_000)
const BATCH = 500

async function fill({ messages, memories, scope }: Storage): Promise<void> {
  for (let i = 0; i < MESSAGES; i += BATCH) {
    const handle = i % 1000 === 0 ? { messages } : scope({ ownerId: `o${i % 7}` })
    const batch = Array.from({ length: BATCH }, (_, k) => ({ role: 'user', content: `invoice number${i + k}` }))
    await handle.messages.append(`s${i % 3}-${Math.floor(i / 2000)}`, batch)
  }
  await memories.create({ content: 'Ada wants the invoice by mail' })
}

/** Walks over all hits. Fails if one of them comes twice. */
async function countHits({ messages }: Storage, query: string): Promise<number> {
  const seen = new Set<string>()
  for (let cursor: string | undefined; ; ) {
    const page = await messages.search(query, { limit: 1000, cursor })
    for (const { message } of page.items) seen.add(JSON.stringify([message.sessionId, message.id]))
    cursor = page.nextCursor
    if (cursor === undefined) return seen.size
  }
}

describe.each(Object.entries(lasting))('%s', (_, configure) => {
  async function filled(): Promise<{ on: StorageConfig; off: StorageConfig; file?: string }> {
    const switched = await configure()
    await using storage = await openStorage(switched.off, quiet)
    await fill(storage)
    return switched
  }

  test('the backfill goes on where a killed process has stopped', { timeout: 300_000 }, async () => {
    const { on, file } = await filled()
    let longest = 0
    for (let kills = 0; kills < 3; kills++) {
      const script = runScript<{ indexed: number }>('test/search/programs/backfill.ts', [JSON.stringify(on)])
      await script.next() // it has indexed something
      await script.kill()
      await using storage = await openStorage(on, quiet)
      const { search } = await storage.stats()
      const begun = performance.now()
      await storage.messages.append('new', { role: 'user', content: `fresh words ${kills}` })
      longest = Math.max(longest, performance.now() - begun)
      if (search !== undefined && search.pending > 0) expect((await storage.messages.search('x')).incomplete).toBe(true)
      expect((await storage.messages.search('fresh')).items).toHaveLength(kills + 1)
    }
    const storage = await openStorage(on, quiet)
    await storage.maintain()
    expect((await storage.stats()).search).toEqual({ pending: 0 })
    expect(await countHits(storage, 'invoice')).toBe(MESSAGES)
    expect((await storage.messages.search(`number${MESSAGES - 1}`)).items).toHaveLength(1)
    const memories = await storage.memories.search('invoice')
    expect(memories).toMatchObject({ items: [{ text: 'Ada wants the invoice by mail', highlights: [[14, 21]] }] })
    expect(memories.incomplete).toBeUndefined()
    await storage.close()
    if (file) checkIndex(file)
  })

  test('what was changed while the search was switched off is indexed anew', async () => {
    const { on, off } = await configure()
    await openStorage(on, quiet).then(async (storage) => {
      await storage.messages.append('s', { id: 'm', role: 'user', content: 'old words' })
      await storage.close()
    })
    await openStorage(off, quiet).then(async (storage) => {
      await storage.messages.update('s', 'm', { content: 'new words', role: 'tool' })
      await storage.messages.append('s', { role: 'user', content: 'more words' })
      await storage.close()
    })
    await using storage = await openStorage(on, quiet)
    await storage.maintain()
    expect((await storage.messages.search('old')).items).toEqual([])
    expect((await storage.messages.search('words')).items).toHaveLength(2)
    expect((await storage.messages.search('new', { role: 'tool' })).items).toHaveLength(1)
  })

  test('tokens of another version are not found, and replaced', async () => {
    const { on } = await configure()
    const storage = await openStorage(on, quiet)
    await storage.messages.append('s', { role: 'user', content: 'some words' })
    const database = await openDatabase(resolveConfig(on).database, { migrate: true })
    const { properties } = database.tables
    await database.orm
      .update(properties)
      .set({ value: '{"tokenizer":0,"phase":"complete"}' })
      .where(eq(properties.name, STATE))
    await database.close()
    expect((await storage.messages.search('words')).incomplete).toBe(true)
    await storage.close()
    await using next = await openStorage(on, quiet)
    expect((await next.stats()).search).toEqual({ pending: 0 })
    expect(await next.messages.search('words')).toMatchObject({ items: [{ text: 'some words' }] })
  })

  test('rebuildSearch() says how far it is, and ends when it is told', async () => {
    const { on } = await filled()
    await using storage = await openStorage(on, quiet)
    await storage.maintain()
    const controller = new AbortController()
    const progress: number[] = []
    const aborted = storage.rebuildSearch({
      signal: controller.signal,
      onProgress({ indexed }) {
        progress.push(indexed)
        if (indexed > 900) controller.abort()
      },
    })
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    expect(progress.at(-1)).toBeLessThan(MESSAGES)
    expect((await storage.messages.search('invoice')).incomplete).toBe(true)
    expect((await storage.stats()).search?.pending).toBe(MESSAGES + 1 - (progress.at(-1) ?? 0))
    expect(await storage.rebuildSearch()).toBe(MESSAGES + 1)
    expect(await countHits(storage, 'invoice')).toBe(MESSAGES)
  })
})

function gate(): { open: () => void; opened: Promise<void> } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

test.each(['read committed', 'serializable'] as const)(
  'on PostgreSQL, what a %s transaction has written when the index is begun anew is found',
  async (isolation) => {
    const { on } = await (lasting.PostgreSQL ?? expect.fail())()
    await using storage = await openStorage(on, quiet)
    await using other = await openStorage(on, quiet)
    await storage.messages.append('s', { role: 'user', content: 'first words' })
    const [begun, rebuilding] = [gate(), gate()]
    const append = (tx: Pick<Storage, 'messages'>) => tx.messages.append('s', { role: 'user', content: 'more words' })
    const writing = storage.transaction(
      async (tx) => {
        // The snapshot of a serializable transaction is that of its first statement.
        await (isolation === 'serializable' ? tx.messages.latest('s', 1) : append(tx))
        begun.open()
        await rebuilding.opened
        if (isolation === 'serializable') await append(tx)
      },
      { isolation },
    )
    await begun.opened
    const rebuilt = other.rebuildSearch({ onProgress: () => rebuilding.open() })
    await Promise.all([writing, rebuilt])
    expect((await other.messages.search('words')).items).toHaveLength(2)
    expect((await other.stats()).search).toEqual({ pending: 0 })
  },
)
