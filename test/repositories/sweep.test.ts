import { setImmediate, setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { MOST_ROWS } from '../../src/maintenance/pace.ts'
import { statements } from '../../src/observability/channels.ts'
import { eachDatabase } from './databases.ts'

const HOUR = 3_600_000

eachDatabase((open) => {
  it('an expired session with many messages and events goes in steps, and in no step more than some hundred rows', async () => {
    const clock = { millis: Date.UTC(2100, 0, 1) }
    await using storage = await open({ now: () => new Date(clock.millis), maintenance: false })
    const scope = storage.scope({ ownerId: 'ada' })
    const id = 'large'
    for (const { sessions, messages, events } of [storage, scope]) {
      await sessions.create({ id, expiresAt: new Date(clock.millis + HOUR) })
      await messages.import(
        Array.from({ length: 1300 }, (_, i) => ({ sessionId: id, id: `m${i}`, role: 'user', content: `${i}` })),
      )
      for (let k = 0; k < 2; k++)
        await events.append(Array.from({ length: 700 }, () => ({ sessionId: id, type: 'step' })))
    }
    clock.millis += 2 * HOUR

    const removed: Record<string, number[]> = { messages: [], events: [] }
    const note = (message: unknown) => {
      const { operation, table = '', rows = 0 } = message as { operation: string; table?: string; rows?: number }
      if (operation === 'DELETE') removed[table]?.push(rows)
    }
    // The sweep pauses after each step.
    const meanwhile = async () => {
      while (Number(removed.messages?.length) < 3) await setImmediate()
      return storage.diagnose()
    }
    statements.subscribe({ asyncEnd: note } as never) // the other events of a call are of no interest
    const [findings, count] = await Promise.all([meanwhile(), storage.sessions.sweepExpired()])
    expect(count).toBe(2)
    statements.unsubscribe({ asyncEnd: note } as never)
    expect(findings.filter(({ result }) => result === 'fail')).toEqual([]) // the counters are right in between
    for (const [table, rows] of Object.entries(removed)) {
      expect(Math.max(...rows), table).toBeLessThanOrEqual(MOST_ROWS)
      expect(rows.length, table).toBeGreaterThan(4)
    }
    for (const { sessions, messages, events } of [storage, scope]) {
      await sessions.create({ id })
      expect(await messages.latest(id, 1)).toEqual([])
      expect((await events.list({ sessionId: id })).items).toEqual([])
    }
  })

  it('a session that is kept while the sweep waits for it stays, with what it has, and the others go', async () => {
    const clock = { millis: Date.UTC(2100, 0, 1) }
    await using storage = await open({ now: () => new Date(clock.millis), maintenance: false })
    const expiresAt = new Date(clock.millis + HOUR)
    for (const id of ['a', 'b', 'c']) {
      await storage.sessions.create({ id, expiresAt })
      await storage.messages.append(id, { role: 'user', content: id })
    }
    const kept = storage.transaction(async (tx) => {
      await tx.sessions.update('b', { expiresAt: null })
      clock.millis += 2 * HOUR
      await setTimeout(300) // the sweep has read which have expired, and waits
    })
    await setTimeout(100)
    expect(await storage.sessions.sweepExpired()).toBe(2)
    await kept

    expect(await storage.messages.latest('b', 2)).toMatchObject([{ content: 'b' }])
    clock.millis -= 2 * HOUR // what is left would be seen
    const left = await Promise.all(['a', 'b', 'c'].map((id) => storage.sessions.get(id)))
    expect(left.map((session) => session?.id)).toEqual([undefined, 'b', undefined])
  })
})
