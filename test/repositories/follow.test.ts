import { setTimeout as sleep } from 'node:timers/promises'
import { type AgentEvent, type FollowEventsOptions, openStorage, type Storage, type StorageTransaction } from 'holdfast'
import { expect, test } from 'vitest'
import { allPages, signal } from '../../src/testing/contract.ts'
import { type Link, startLink } from '../database/link.ts'
import { freshPostgres, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const names = ['a', 'b', 'c', 'd']
const count = rounds(10_000, 100_000)
const timeout = rounds(300_000, 1_800_000)

/** Returns the first `total` events that a follower sees. */
async function followed(storage: Storage, total: number, options: FollowEventsOptions): Promise<AgentEvent[]> {
  const seen: AgentEvent[] = []
  for await (const { items } of storage.events.follow({ pollMillis: 5, ...options })) {
    seen.push(...items)
    if (seen.length >= total) break
  }
  return seen
}

test.each(sharedDatabases)(
  `on %s, follow() sees each of ${count} events of four processes once, in the order of the log`,
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const program = 'test/repositories/programs/append-events.ts'
    const each = String(count / names.length)
    const scripts = names.map((name) => runScript<{ appended: number }>(program, [JSON.stringify(config), name, each]))
    await Promise.all(scripts.map((script) => script.next(undefined, timeout)))
    const giveUp = AbortSignal.timeout(timeout - 10_000)
    const followers = Promise.all([
      followed(storage, count, { limit: 100, signal: giveUp }),
      followed(storage, Math.floor(count / 3) - names.length, { runId: 'run 1', signal: giveUp }),
    ])
    for (const script of scripts) script.send('go')
    const appended = await Promise.all(scripts.map((script) => script.next(undefined, timeout)))
    const [seen, ofRun] = await followers

    const log = await allPages((page) => storage.events.list(page), 1000)
    expect(log).toHaveLength(appended.reduce((sum, { appended }) => sum + appended, 0))
    const ids = (events: AgentEvent[]) => events.map(({ id }) => id)
    expect(seen.length).toBeGreaterThanOrEqual(count)
    expect(ids(seen)).toEqual(ids(log).slice(0, seen.length))
    expect(ids(ofRun)).toEqual(ids(log.filter(({ runId }) => runId === 'run 1')).slice(0, ofRun.length))
  },
  timeout,
)

/** Opens a storage whose round trips are counted, and one for everything else, on one PostgreSQL. */
async function openWatched() {
  const url = new URL(await freshPostgres())
  const writer = await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)
  const link = await startLink(Number(url.port))
  url.port = String(link.port)
  const follower = await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)
  return {
    writer,
    follower,
    link,
    async [Symbol.asyncDispose]() {
      await Promise.all([writer.close(), follower.close()])
    },
  }
}

/** Waits until the follower has asked several times, or has yielded. */
async function asked(link: Link, page: Promise<unknown>): Promise<void> {
  let hasYielded = false
  const stop = () => {
    hasYielded = true
  }
  page.then(stop, stop)
  for (const enough = link.roundTrips + 10; !hasYielded && link.roundTrips < enough; ) await sleep(5)
}

/** Starts a transaction that runs `body` and then waits until the returned function ends it. */
async function heldTransaction(storage: Storage, body: (tx: StorageTransaction) => Promise<unknown>) {
  const done = signal()
  const mayEnd = signal()
  let failure: Error | undefined
  const transaction = storage.transaction(async (tx) => {
    await body(tx)
    done.reach()
    await mayEnd.reached
    if (failure) throw failure
  })
  await done.reached
  return async (error?: Error) => {
    failure = error
    mayEnd.reach()
    await transaction
  }
}

const types = (items: AgentEvent[] = []) => items.map(({ type }) => type)

test('a reader of list() on PostgreSQL misses an event that commits later, and follow() does not', async () => {
  await using databases = await openWatched()
  const { writer, follower, link } = databases
  await writer.events.append({ type: 'before' })
  const pages = follower.events.follow({ pollMillis: 5 })
  expect(types((await pages.next()).value?.items)).toEqual(['before'])

  const commit = await heldTransaction(writer, (tx) => tx.events.append([{ type: 'slow' }, { type: 'slow' }]))
  await writer.events.append([{ type: 'fast' }, { type: 'fast' }])
  const { items, nextCursor } = await writer.events.list({ limit: 2 })
  expect(types(items)).toEqual(['before', 'fast'])
  const next = pages.next()
  await asked(link, next)
  await commit()

  expect(types((await writer.events.list({ cursor: nextCursor })).items)).toEqual(['fast'])
  expect(types((await next).value?.items)).toEqual(['slow', 'slow', 'fast', 'fast'])
  await pages.return()
})

test('follow() on PostgreSQL goes on when a transaction that has appended is rolled back', async () => {
  await using databases = await openWatched()
  const { writer, follower, link } = databases
  const end = await heldTransaction(writer, (tx) => tx.events.append({ type: 'gone' }))
  await writer.events.append({ type: 'fast' })
  const next = follower.events.follow().next()
  await asked(link, next)
  const failure = new Error('rolled back')
  await expect(end(failure)).rejects.toBe(failure)
  expect(types((await next).value?.items)).toEqual(['fast'])
})

test('follow() on PostgreSQL does not wait for a transaction that writes elsewhere', async () => {
  await using databases = await openWatched()
  const { writer, follower } = databases
  const commit = await heldTransaction(writer, (tx) => tx.kv.set('key', 1))
  await writer.events.append({ type: 'fast' })
  expect(types((await follower.events.follow().next()).value?.items)).toEqual(['fast'])
  await commit()
})

test('follow() on PostgreSQL ends when it is aborted or closed while it waits for a transaction', async () => {
  await using databases = await openWatched()
  const { writer, follower, link } = databases
  const commit = await heldTransaction(writer, (tx) => tx.events.append({ type: 'slow' }))
  await writer.events.append({ type: 'fast' })
  const aborting = new AbortController()
  const aborted = follower.events.follow({ signal: aborting.signal }).next()
  const closed = follower.events.follow().next()
  await asked(link, Promise.race([aborted, closed]))
  aborting.abort()
  expect(await aborted).toEqual({ done: true, value: undefined })
  await follower.close()
  expect(await closed).toEqual({ done: true, value: undefined })
  await commit()
})
