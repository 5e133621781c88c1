import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentEvent, EventInput, ListEventsOptions } from '../repositories/events.ts'
import type { EventsPage } from '../repositories/events-page.ts'
import { allPages, badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

/** Returns the first `count` events that are yielded. */
async function followed(pages: AsyncIterable<EventsPage<AgentEvent>>, count: number): Promise<AgentEvent[]> {
  const seen: AgentEvent[] = []
  for await (const { items } of pages) {
    seen.push(...items)
    if (seen.length >= count) break
  }
  return seen
}

/** The cases of `storage.events`. */
export const eventCases: Cases = {
  async 'append() stores one event, or several in the order given'({ storage: { events }, name, clock }) {
    const payload = { '2': null, '1': ['\u0000', '\ud800', 2 ** 53] }
    const first = await events.append({ type: 'run.started', sessionId: name(), runId: name('run'), payload })
    const [sessionId, runId, occurredAt] = [name(), name('run'), clock.now()]
    const { seq, id } = first
    assert.deepEqual(first, { seq, id, ownerId: '', type: 'run.started', sessionId, runId, payload, occurredAt })
    assert.equal(JSON.stringify(first.payload), JSON.stringify(payload))
    const early = new Date('0099-01-01T00:00:00.001Z')
    const inputs = times(75, (i): EventInput => ({ type: `${i}`, sessionId: name(), occurredAt: early }))
    const several = await events.append(inputs)
    assert.deepEqual(
      several.map(({ type, runId, payload, occurredAt }) => ({ type, runId, payload, occurredAt })),
      times(75, (i) => ({ type: `${i}`, runId: null, payload: null, occurredAt: early })),
    )
    const all = [first, ...several]
    for (const [i, event] of several.entries()) assert.ok(event.seq > (all[i]?.seq ?? 0))
    assert.deepEqual(await allPages((page) => events.list({ sessionId: name(), ...page }), 10), all)
    assert.equal(new Set(all.map(({ id }) => id)).size, 76)
    assert.deepEqual(await events.append([]), [])
  },

  async 'append() returns the stored event if the id is taken'({ storage: { events }, name }) {
    const event = (i: number): EventInput => ({ id: name(`${i}`), type: 'a', sessionId: name(), payload: i })
    const stored = await events.append([event(1), event(2)])
    const changed = { ...event(2), type: 'b', sessionId: name('other') }
    const repeated = await events.append([event(0), changed, event(1)])
    assert.deepEqual(repeated.slice(1), [stored[1], stored[0]])
    assert.deepEqual(await events.append(event(0)), repeated[0])
    assert.deepEqual((await events.list({ sessionId: name() })).items, [...stored, repeated[0]])
  },

  async 'append() stores each event once when 8 calls append the same 20 ids'({ storage: { events }, name }) {
    const inputs = times(20, (i): EventInput => ({ id: name(`${i}`), type: 'a', sessionId: name(), payload: i }))
    const [first, ...others] = await Promise.all(times(8, () => events.append(inputs)))
    for (const other of others) assert.deepEqual(other, first)
    assert.equal((await events.list({ sessionId: name() })).items.length, 20)
  },

  async 'append() rejects an id that occurs twice in one call'({ storage: { events }, name }) {
    const event = (i: number): EventInput => ({ id: name(`${i}`), type: 'a', sessionId: name() })
    await invalid(events.append([event(7), event(8), event(7)]), 'events.2.id')
    assert.deepEqual(await events.list({ sessionId: name() }), { items: [] })
  },

  async 'list() returns the events that match all filters, oldest or newest first'({ storage: { events }, name }) {
    const pick = <T>(values: T[], i: number) => values[i % values.length]
    const inputs = times(60, (i) => ({
      type: name(pick(['a', 'b'], i >> 2)),
      sessionId: pick([name('1'), name('10'), null], i),
      runId: pick([name('1'), null, name('2'), name('1')], i),
    }))
    const all: AgentEvent[] = []
    for (let i = 0; i < 60; i += 6) all.push(...(await events.append(inputs.slice(i, i + 6))))
    for (const sessionId of [undefined, name('1'), name('10')]) {
      for (const runId of [undefined, name('1'), name('2')]) {
        for (const type of [undefined, name('a'), name('none')]) {
          if ((sessionId ?? runId ?? type) === undefined) continue
          const fits = (event: AgentEvent) =>
            (sessionId === undefined || event.sessionId === sessionId) &&
            (runId === undefined || event.runId === runId) &&
            (type === undefined || event.type === type)
          const options: ListEventsOptions = { sessionId, runId, type }
          const listed = await allPages((page) => events.list({ ...options, ...page }), 4)
          assert.deepEqual(listed, all.filter(fits), JSON.stringify(options))
          const newest = await allPages((page) => events.list({ ...options, ...page, order: 'desc' }), 7)
          assert.deepEqual(newest, all.filter(fits).reverse())
        }
      }
    }
    for (const of of [{}, { sessionId: name('1') }, { runId: name('1') }, { type: name('a') }]) {
      assert.deepEqual(await events.list({ ...of, ownerId: name() }), { items: [] })
    }
    const { items, nextCursor } = await events.list({ order: 'desc', limit: 10 })
    const before = await events.list({ order: 'desc', limit: 10, cursor: nextCursor })
    assert.deepEqual([...items, ...before.items], all.slice(-20).reverse())
  },

  async 'follow() yields the events that are there, then those that are appended'({ storage: { events }, name }) {
    const event = (i: number): EventInput => ({ type: name(`${i % 2}`), sessionId: name(), runId: name(`${i % 3}`) })
    const before = await events.append(times(12, event))
    const filters = { sessionId: name(), runId: name('0') }
    const fits = ({ runId }: AgentEvent) => runId === filters.runId
    const follower = events.follow({ ...filters, limit: 3, pollMillis: 5 })
    const first = await follower.next()
    assert.ok(first.value)
    assert.deepEqual(first.value.items, before.filter(fits).slice(0, 3))
    assert.deepEqual((await follower.next()).value?.items, before.filter(fits).slice(3))
    const next = follower.next()
    const later = await events.append(times(2, event))
    assert.deepEqual((await next).value?.items, later.filter(fits))
    await follower.return()
    const all = [...before, ...later]
    const cursor: string = first.value.nextCursor
    for (const limit of [1, 2, 1000]) {
      const again = events.follow({ ...filters, limit, cursor })
      assert.deepEqual(await followed(again, 2), all.filter(fits).slice(3))
      const { items } = await events.list({ ...filters, cursor }) // the same cursors
      assert.deepEqual(items, all.filter(fits).slice(3))
    }
    assert.deepEqual(await followed(events.follow({ type: name('1') }), 7), [
      ...before.filter(({ type }) => type === name('1')),
      ...later.filter(({ type }) => type === name('1')),
    ])
  },

  async 'follow() misses no event of transactions that commit in any order'({ storage, name }) {
    const { events } = storage
    const sessionId = name()
    const [writers, each] = [4, 15]
    const write = async (writer: number) => {
      for (let n = 0; n < each; n++) {
        await storage.transaction(async (tx) => {
          await tx.events.append({ type: 'a', sessionId, id: name(`${writer}-${n}`) })
          await sleep((writer * 7 + n * 5) % 12)
        })
      }
    }
    const following = followed(events.follow({ sessionId, limit: 7, pollMillis: 1 }), writers * each)
    await Promise.all(times(writers, write))
    assert.deepEqual(await following, (await events.list({ sessionId, limit: 1000 })).items)
  },

  async 'follow() ends when the signal is aborted, before, at or between its pages'({ storage: { events }, name }) {
    const sessionId = name()
    await events.append({ type: 'a', sessionId })
    for (const pages of [0, 1, 2]) {
      const aborting = new AbortController()
      const { signal } = aborting
      if (pages === 0) aborting.abort()
      let seen = 0
      for await (const { items } of events.follow({ sessionId, signal, pollMillis: 10_000 })) {
        assert.equal(items.length, 1)
        seen++
        if (pages === 1) aborting.abort()
        else setTimeout(() => aborting.abort(), 20)
      }
      assert.equal(seen, Math.min(pages, 1))
    }
  },

  async 'follow() is refused in a transaction, which would stay open'({ storage, name }) {
    const sessionId = name()
    await storage.events.append({ type: 't', sessionId })
    await storage.transaction(async (tx) => {
      await refused(tx.events.follow({ sessionId }).next(), 'TRANSACTION_MISUSE')
      await tx.transaction(async (inner) => refused(inner.events.follow().next(), 'TRANSACTION_MISUSE'))
      assert.equal((await tx.events.list({ sessionId })).items.length, 1)
    })
  },

  async 'follow() ends when the storage is closed'({ storage, name }) {
    const sessionId = name()
    await storage.events.append({ type: 'a', sessionId })
    const follower = storage.events.follow({ sessionId, pollMillis: 5 })
    assert.equal((await follower.next()).value?.items.length, 1)
    const next = follower.next()
    await storage.close()
    assert.deepEqual(await next, { done: true, value: undefined })
    await refused(storage.events.follow().next(), 'CLOSED')
  },

  async 'prune() removes the events before an instant and no others'({ storage: { events }, name, clock }) {
    const at = (seconds: number) => clock.after(seconds)
    const old = times(1500, (i) => ({ type: 'old', sessionId: name(), occurredAt: at(-1e9 - i) }))
    await events.append(old.slice(0, 800))
    await events.append(old.slice(800))
    const [kept] = await events.append([{ type: 'kept', sessionId: name(), occurredAt: at(-1e9 + 1) }])
    assert.ok((await events.prune({ before: at(-1e9 - 1400) })) >= 99)
    assert.equal((await events.list({ sessionId: name(), limit: 1000 })).items.length, 1000)
    assert.ok((await events.prune({ before: at(-1e9 + 1) })) >= 1401)
    assert.deepEqual((await events.list({ sessionId: name() })).items, [kept])
    assert.equal(await events.prune({ before: at(-1e9 + 1) }), 0)
  },

  ...eachInput<[input: object, path: string]>(
    [
      [{ type: '' }, 'type'],
      [{ type: 'a\0' }, 'type'],
      [{ type: undefined }, 'type'],
      [{ id: '' }, 'id'],
      [{ id: 'x'.repeat(256) }, 'id'],
      [{ sessionId: '' }, 'sessionId'],
      [{ runId: 7 }, 'runId'],
      [{ payload: { n: Number.NaN } }, 'payload.n'],
      [{ occurredAt: 'now' }, 'occurredAt'],
    ],
    ([input]) => `append() rejects ${shown(input)} and stores nothing`,
    async ([input, path], { storage: { events }, name }) => {
      const fine = { type: 'a', sessionId: name() }
      await invalid(events.append({ ...fine, ...input }), `event.${path}`)
      await invalid(events.append([fine, { ...fine, ...input }]), `events.1.${path}`)
      assert.deepEqual(await events.list({ sessionId: name() }), { items: [] })
    },
  ),

  async 'append() rejects more than 1000 events'({ storage: { events }, name }) {
    await invalid(events.append(times(1001, () => ({ type: 'a', sessionId: name() }))), 'events')
    assert.deepEqual(await events.list({ sessionId: name() }), { items: [] })
  },

  async 'list(), follow() and prune() reject options that are not valid'({ storage: { events } }) {
    await invalid(events.list({ order: 'up' as 'asc' }), 'options.order')
    await invalid(events.list({ sessionId: '' }), 'options.sessionId')
    await invalid(events.list({ type: '' }), 'options.type')
    await invalid(events.prune({} as { before: Date }), 'options.before')
    await invalid(events.follow({ runId: '' }).next(), 'options.runId')
    await invalid(events.follow({ limit: 0 }).next(), 'options.limit')
    await invalid(events.follow({ pollMillis: 0 }).next(), 'options.pollMillis')
    await invalid(events.follow({ signal: {} as AbortSignal }).next(), 'options.signal')
  },

  async 'list() and follow() reject cursors that they did not return'({ storage: { events } }) {
    await badCursors((cursor) => events.list({ cursor }))
    await badCursors((cursor) => events.follow({ cursor }).next())
  },
}
