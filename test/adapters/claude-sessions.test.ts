import { randomUUID } from 'node:crypto'
import {
  deleteSession,
  foldSessionSummary,
  forkSession,
  getSessionInfo,
  getSessionMessages,
  getSubagentMessages,
  listSessions,
  listSubagents,
  renameSession,
  type SessionStoreEntry,
  tagSession,
} from '@anthropic-ai/claude-agent-sdk'
import { openStorage } from 'holdfast'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { expect, it } from 'vitest'
import { startLink, tripsOf } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { title, user } from './claude-lines.ts'

eachDatabase((open) => {
  it('keeps one summary of all lines while several append, which reading and writing alone does not', async () => {
    await using storage = await open()
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    const lines: SessionStoreEntry[] = [
      user('1'),
      title('title'),
      { type: 'ai-title', aiTitle: 'ai' },
      { type: 'tag', tag: 'tag' },
      { type: 'last-prompt', lastPrompt: 'last' },
    ]
    const expected = Object.keys(foldSessionSummary(undefined, key, lines).data).toSorted()
    await Promise.all(
      lines.map(async (line) => {
        const data = await storage.kv.get<Record<string, unknown>>(`naive ${key.sessionId}`)
        const before = data && { sessionId: key.sessionId, mtime: 0, data }
        await storage.kv.set(`naive ${key.sessionId}`, foldSessionSummary(before, key, [line]).data)
      }),
    )
    const naive = await storage.kv.get<Record<string, unknown>>(`naive ${key.sessionId}`)
    expect(Object.keys(naive ?? {}).length).toBeLessThan(expected.length)

    const store = new HoldfastSessionStore(storage, { foldSessionSummary })
    await Promise.all(lines.map((line) => store.append(key, [line])))
    const [summary] = (await store.listSessionSummaries?.(key.projectKey)) ?? []
    expect(Object.keys(summary?.data ?? {}).toSorted()).toEqual(expected)
    expect(summary?.mtime).toBe((await store.listSessions(key.projectKey))[0]?.mtime)
    expect(Math.abs(Date.now() - (summary?.mtime ?? 0))).toBeLessThan(60_000)
    expect(new HoldfastSessionStore(storage).listSessionSummaries).toBeUndefined()
  })

  it('a summary has the lines that a store without summaries has appended, before or between', async () => {
    await using storage = await open()
    const plain = new HoldfastSessionStore(storage)
    const folding = new HoldfastSessionStore(storage, { foldSessionSummary })
    const lines = [user('1', 'Book a train'), title('A trip'), user('2', 'To Bergen'), user('3')]
    for (const stores of [
      [plain, plain, folding, folding],
      [folding, plain, folding, folding],
    ]) {
      const key = { projectKey: randomUUID(), sessionId: randomUUID() }
      for (const [i, store] of stores.entries()) await store.append(key, lines.slice(i, i + 1))
      const [summary] = (await folding.listSessionSummaries?.(key.projectKey)) ?? []
      expect(summary?.data).toEqual(foldSessionSummary(undefined, key, lines).data)
    }
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    await plain.append(key, lines)
    await folding.append(key, lines.slice(0, 1)) // a repeat
    const [summary] = (await folding.listSessionSummaries?.(key.projectKey)) ?? []
    expect(summary?.data).toEqual(foldSessionSummary(undefined, key, lines).data)
  })

  it('a line that several processes append to a new session at once is in the summary once', async () => {
    await using storage = await open()
    const fold: typeof foldSessionSummary = (previous, { sessionId }, entries) => {
      const uuids = [...((previous?.data.uuids as string[] | undefined) ?? []), ...entries.map(({ uuid }) => uuid)] // as made here
      return { sessionId, mtime: 0, data: { uuids } }
    }
    const store = new HoldfastSessionStore(storage, { foldSessionSummary: fold })
    for (let round = 0; round < 10; round++) {
      const key = { projectKey: randomUUID(), sessionId: 's' }
      await Promise.all(['1', '2', '3'].map((uuid) => store.append(key, [user(uuid), user('both')])))
      const [summary] = (await store.listSessionSummaries?.(key.projectKey)) ?? []
      expect(summary?.data.uuids).toEqual((await store.load(key))?.map(({ uuid }) => uuid))
    }
  })

  it('a transcript that is begun while it is deleted is in the index, or gone', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    for (let round = 0; round < 40; round++) {
      const key = { projectKey: randomUUID(), sessionId: 's' }
      await Promise.all([store.delete(key), store.append(key, [user('1')]), store.delete(key), store.delete(key)])
      const lines = await store.load(key)
      expect(await store.listSessions(key.projectKey)).toHaveLength(lines === null ? 0 : 1)
    }
  })

  it('the index goes with the sessions, whoever removes them', async () => {
    await using storage = await open()
    const scope = storage.scope({ ownerId: randomUUID() })
    const key = { projectKey: 'p', sessionId: 's' }
    const store = new HoldfastSessionStore(scope, { foldSessionSummary })
    await store.append(key, [user('1', 'My locker code is 4711')])
    await store.append({ ...key, subpath: 'subagents/agent-1' }, [user('2')])
    for (const { id } of (await scope.sessions.list()).items) await scope.sessions.delete(id)
    expect([await store.listSessions('p'), await store.listSubkeys(key)]).toEqual([[], []])
    expect((await scope.kv.keys()).items).toEqual([])
  })

  it('appends over the storage itself to a session that was given to an owner', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    const key = { projectKey: randomUUID(), sessionId: 's' }
    await store.append(key, [user('1')])
    await storage.sessions.update(`${key.projectKey}/s`, { ownerId: randomUUID() })
    await store.append(key, [user('2')])
    expect(await store.load(key)).toEqual([user('1'), user('2')])
  })

  it("serves the SDK's functions for sessions, with and without summaries", async () => {
    await using storage = await open()
    const scope = storage.scope({ ownerId: randomUUID() })
    for (const sessionStore of [
      new HoldfastSessionStore(scope, { foldSessionSummary }),
      new HoldfastSessionStore(scope),
    ]) {
      const options = { dir: import.meta.dirname, sessionStore }
      let projectKey = ''
      const spy = Object.assign(Object.create(sessionStore), {
        listSessions: (key: string) => {
          projectKey = key
          return sessionStore.listSessions(key)
        },
      })
      expect(await listSessions({ ...options, sessionStore: spy })).toEqual([])
      const sessionId = randomUUID()
      await sessionStore.append({ projectKey, sessionId }, [{ ...user(randomUUID(), 'Book a train'), sessionId }])
      const subpath = 'subagents/agent-abc'
      const side = { ...user(randomUUID(), 'Look it up'), sessionId, isSidechain: true, agentId: 'abc' }
      await sessionStore.append({ projectKey, sessionId, subpath }, [side])
      await renameSession(sessionId, 'A trip', options)
      await tagSession(sessionId, 'travel', options)
      expect(await getSessionInfo(sessionId, options)).toMatchObject({ summary: 'A trip', tag: 'travel' })
      expect(await getSessionMessages(sessionId, options)).toMatchObject([{ message: { content: 'Book a train' } }])
      expect(await listSubagents(sessionId, options)).toEqual(['abc'])
      expect(await getSubagentMessages(sessionId, 'abc', options)).toHaveLength(1)
      const fork = await forkSession(sessionId, options)
      expect(await getSessionMessages(fork.sessionId, options)).toMatchObject([
        { message: { content: 'Book a train' } },
      ])
      const ids = (await listSessions(options)).map((info) => info.sessionId)
      expect(ids.toSorted()).toEqual([sessionId, fork.sessionId].toSorted())
      for (const id of ids) await deleteSession(id, options)
      expect([await listSessions(options), (await scope.sessions.list()).items]).toEqual([[], []])
      expect((await scope.kv.keys()).items).toEqual([])
    }
  })
})

it('what was said is found by a search, and other messages of the session are no lines', async () => {
  await using storage = await openStorage(
    { database: { type: 'in-memory', options: { search: true } } },
    { maintenance: false },
  )
  const store = new HoldfastSessionStore(storage)
  const key = { projectKey: 'p', sessionId: 's' }
  await store.append(key, [user('1', 'Book a train to Bergen')])
  const { items } = await storage.messages.search('bergen')
  expect(items.map(({ message }) => [message.sessionId, message.role])).toEqual([['p/s', 'user']])
  await storage.messages.append('p/s', { role: 'user', content: 'from elsewhere' })
  expect(await store.load(key)).toEqual([user('1', 'Book a train to Bergen')])
})

it('takes few round trips', async () => {
  const url = new URL(await freshPostgres())
  await (await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)).close() // migrates, over no link
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const plain = new HoldfastSessionStore(storage)
  const folding = new HoldfastSessionStore(storage, { foldSessionSummary })
  const key = { projectKey: 'p', sessionId: 's' }
  const calls = {
    append: () => plain.append(key, [user(randomUUID())]),
    'append with a summary': () => folding.append({ ...key, sessionId: 'folded' }, [user(randomUUID())]),
    load: () => plain.load(key),
    listSessions: () => plain.listSessions('p'),
    listSubkeys: () => plain.listSubkeys(key),
    delete: () => plain.delete(key),
  }
  expect(await tripsOf(link, calls)).toEqual({
    append: 6,
    'append with a summary': 8,
    load: 1,
    listSessions: 1,
    listSubkeys: 1,
    delete: 6,
  })
})
