import assert from 'node:assert/strict'
import type { AgentEvent, EventInput, ListEventsOptions } from '../repositories/events.ts'
import { allPages, badCursors, type Cases, eachInput, invalid, shown, times } from './contract.ts'

/** The cases of `storage.events`. */
export const eventCases: Cases = {
  async 'append() stores one event, or several in the order given'({ storage: { events }, name, clock }) {
    const payload = { '2': null, '1': ['\u0000', '\ud800', 2 ** 53] }
    const first = await events.append({ type: 'run.started', sessionId: name(), runId: name('run'), payload })
    const [sessionId, runId, occurredAt] = [name(), name('run'), clock.now()]
    const { seq, id } = first
    assert.deepEqual(first, { seq, id, type: 'run.started', sessionId, runId, payload, occurredAt })
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
    const { items, nextCursor } = await events.list({ order: 'desc', limit: 10 })
    const before = await events.list({ order: 'desc', limit: 10, cursor: nextCursor })
    assert.deepEqual([...items, ...before.items], all.slice(-20).reverse())
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

  async 'list() and prune() reject options that are not valid'({ storage: { events } }) {
    await invalid(events.list({ order: 'up' as 'asc' }), 'options.order')
    await invalid(events.list({ sessionId: '' }), 'options.sessionId')
    await invalid(events.list({ type: '' }), 'options.type')
    await invalid(events.prune({} as { before: Date }), 'options.before')
  },

  async 'list() rejects cursors that it did not return'({ storage: { events } }) {
    await badCursors((cursor) => events.list({ cursor }))
  },
}
