import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { freshDatabase } from '../database/dialects.ts'
import { redisPrefix, redisUrl, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const DAY = 86_400_000
const SESSIONS = rounds(40, 400)

interface Result {
  removed: Record<string, number>
  refused: number
}

const retention = {
  abandonedExecutions: 'never',
  messages: '30d',
  sessions: { idle: '90d' },
  events: '7d',
  toolExecutions: '30d',
  approvals: '30d',
}
const identity = (runId: string, toolCallId: string) => ({ runId, turnId: 't', modelStepId: 's', toolCallId })

test.each(sharedDatabases)(
  'on %s, prune() of four processes removes each row once, and nothing that is in use',
  { timeout: rounds(120_000, 600_000) },
  async (_, configure) => {
    const config = {
      database: await configure(),
      cache: { type: 'redis' as const, url: redisUrl(), options: { keyPrefix: redisPrefix() } },
      retention,
    }
    const numbers = Array.from({ length: SESSIONS }, (_, i) => i)
    const past = new Date(Date.now() - 100 * DAY)
    await using old = await openStorage(config, { ...quiet, now: () => past })
    for (const i of numbers) {
      const sessionId = `s${i}`
      const messages = Array.from({ length: 20 }, (_, n) => ({ role: 'user' as const, content: `${n}` }))
      await old.messages.append(sessionId, messages)
      await old.events.append([{ type: 'with both', sessionId, runId: `r${i}` }, ...Array(9).fill({ type: 'plain' })])
      const { record } = await old.toolExecutions.start({ identity: identity(`r${i}`, 'done'), toolName: 't' })
      await old.toolExecutions.complete(record.executionId)
      await old.approvals.request({ id: `done ${i}`, type: 't', sessionId })
      await old.approvals.respond({ id: `done ${i}`, decision: 'approved' })
      if (i % 4 === 0) await old.approvals.request({ id: `pending ${i}`, type: 't', sessionId })
      if (i % 4 === 1) await old.toolExecutions.start({ identity: identity(`r${i}`, 'running'), toolName: 't' })
    }
    await using storage = await openStorage(config, quiet)
    for (const i of numbers) await storage.sessions.get(`s${i}`) // cached now
    for (const i of numbers) if (i % 4 === 2) await storage.messages.append(`s${i}`, { role: 'user', content: 'new' })

    const program = 'test/retention/programs/prune.ts'
    const scripts = Array.from({ length: 4 }, () => runScript<Result>(program, [JSON.stringify(config)]))
    await Promise.all(scripts.map((script) => script.next()))
    for (const script of scripts) script.send('go')
    const results = await Promise.all(scripts.map((script) => script.next()))

    const total: Record<string, number> = {}
    for (const { removed } of results) {
      for (const [table, rows] of Object.entries(removed)) total[table] = (total[table] ?? 0) + rows
    }
    const quarter = SESSIONS / 4
    expect(total).toEqual({
      events: SESSIONS * 9 + quarter * 2, // those of an idle or active session that nothing needs
      toolExecutions: quarter * 2,
      approvals: quarter * 2,
      messages: quarter * 20,
      sessions: quarter,
    })
    for (const i of numbers) {
      const session = await storage.sessions.get(`s${i}`)
      const { items } = await storage.messages.list(`s${i}`)
      expect([i, session?.id, items.length]).toEqual([i, i % 4 === 3 ? undefined : `s${i}`, [20, 20, 1, 0][i % 4]])
    }
    expect((await storage.stats()).database.rows).toMatchObject({
      sessions: quarter * 3,
      events: quarter * 2,
      toolExecutions: quarter * 3,
      approvals: quarter * 3,
    })
  },
)

test('prune() on PostgreSQL removes nothing that comes into use meanwhile', async () => {
  const { location: url } = await freshDatabase('postgres')
  const config = { database: { type: 'postgres' as const, url }, retention: { sessions: { idle: '90d' } } }
  await using old = await openStorage(config, { ...quiet, now: () => new Date(Date.now() - 100 * DAY) })
  const count = rounds(300, 3000)
  const names = Array.from({ length: count }, (_, i) => `s${i}`)
  for (const id of names) await old.messages.append(id, { role: 'user', content: 'old' })
  await using storage = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const used = new Map<string, string>()
  let goesOn = true
  const work = (async () => {
    for (let i = names.length - 1; goesOn && i >= 0; i--) {
      const id = `s${i}`
      const way = i % 2 === 0 ? 'appended' : 'asked'
      if (way === 'asked') await other.approvals.request({ id, type: 't', sessionId: id })
      else await other.messages.append(id, { role: 'user', content: 'new' })
      used.set(id, way)
      await sleep(1)
    }
  })()
  await sleep(50)
  const { rows } = await storage.prune()
  goesOn = false
  await work
  let kept = 0
  for (const [id, way] of used) {
    const seqs = (await storage.messages.list(id)).items.map(({ seq }) => seq)
    // Either it was there in time, and everything stays, or the session was gone before.
    if (way === 'asked') expect((await storage.approvals.get(id))?.response).toBeNull()
    else expect(seqs.length === 2 || seqs.join() === '1').toBe(true)
    if (seqs.length === 2 || (way === 'asked' && seqs.length === 1)) kept++
  }
  expect(kept).toBeGreaterThan(0)
  expect(rows.sessions).toBeGreaterThan(0)
})
