import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage } from 'holdfast'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes } from './drivers.ts'

/** Resolves to how a call ended and after how many milliseconds, or to `hangs` if it takes longer than the bound. */
async function within(bound: number, call: () => Promise<unknown>): Promise<{ outcome: string; millis: number }> {
  const began = performance.now()
  const end = sleep(bound, ['hangs'], { ref: false })
  const [outcome = ''] = await Promise.race([outcomes([call()]), end])
  return { outcome, millis: performance.now() - began }
}

/** The processes of a server: a frozen one answers nobody, and keeps its connections. */
function signal(server: PostgresServer, name: NodeJS.Signals): void {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').match(/\d+/g) ?? []
  for (const pid of [server.pid, ...children.map(Number)]) {
    try {
      process.kill(pid, name)
    } catch {} // a backend has ended meanwhile
  }
}

describe('PostgreSQL that is frozen', () => {
  const connectionTimeoutMillis = 500
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop('immediate'))

  async function openAgainst(): Promise<Storage> {
    const database = { type: 'postgres', url: server.url, maxConnections: 3, connectionTimeoutMillis } as const
    const storage = await openStorage({ database }, quiet)
    onTestFinished(() => storage.close())
    await storage.kv.set('before', 1)
    return storage
  }

  it('lets reads, writes, transactions and health() fail within four times connectionTimeoutMillis', async () => {
    const storage = await openAgainst()
    signal(server, 'SIGSTOP')
    try {
      const bound = 4 * connectionTimeoutMillis + 500
      const calls = [
        () => storage.kv.getMany(['before']),
        () => storage.kv.set('frozen', 1),
        () => storage.messages.append('frozen', { role: 'user', content: 'x' }),
        () => storage.transaction((tx) => tx.kv.set('frozen', 2)),
      ]
      const ends = await Promise.all(calls.map((call) => within(bound, call)))
      for (const { outcome } of ends) expect(['CONNECTION_LOST', 'CONNECTION_FAILED', 'TIMEOUT']).toContain(outcome)
      const { outcome } = await within(5500, async () => {
        expect(await storage.health()).toMatchObject({ ok: false, database: { ok: false } })
      })
      expect(outcome).toBe('ok')
    } finally {
      signal(server, 'SIGCONT')
    }
    await expect.poll(() => storage.kv.get('before').catch(() => undefined), { timeout: 5000 }).toBe(1)
    expect((await storage.health()).ok).toBe(true)
  })

  it('lets close() end', async () => {
    const storage = await openAgainst()
    signal(server, 'SIGSTOP')
    try {
      const writing = storage.kv.set('frozen', 1).catch(() => {})
      const { outcome } = await within(4 * connectionTimeoutMillis + 500, () => storage.close())
      expect(outcome).toBe('ok')
      await writing
    } finally {
      signal(server, 'SIGCONT')
    }
  })

  it('lets openStorage() fail', async () => {
    signal(server, 'SIGSTOP')
    try {
      const { outcome } = await within(2 * connectionTimeoutMillis + 500, openAgainst)
      expect(outcome).toBe('CONNECTION_FAILED')
    } finally {
      signal(server, 'SIGCONT')
    }
  })

  it('is not confused with a statement that takes its time', async () => {
    const storage = await openAgainst()
    const sql = postgres(server.url, { max: 1 })
    onTestFinished(() => sql.end())
    const waiting = await sql.begin(async (tx) => {
      await tx`select * from kv where key = 'before' for update`
      const writing = storage.kv.set('before', 2)
      await sleep(5 * connectionTimeoutMillis)
      return [writing]
    })
    expect(await outcomes(waiting)).toEqual(['ok'])
  })
})

describe('openStorage() with migrations pending', () => {
  it('fails with TIMEOUT if another process keeps the migration lock', async () => {
    const url = await freshPostgres()
    const sql = postgres(url, { max: 1 })
    onTestFinished(() => sql.end())
    await sql`select pg_advisory_lock(7309442112)`
    const database = { type: 'postgres', url, options: { migrationLockTimeoutMillis: 300 } } as const
    const opening = openStorage({ database }, quiet)
    await expect(Promise.race([opening, sleep(3000, 'hangs', { ref: false })])).rejects.toMatchObject({
      code: 'TIMEOUT',
      retryable: true,
      message: expect.stringContaining('migration lock'),
    })
    await sql`select pg_advisory_unlock(7309442112)`
    await (await openStorage({ database }, quiet)).close()
  })

  it('fails with TIMEOUT if a long query uses a table that a migration changes', async () => {
    const url = await freshPostgres()
    const database = { type: 'postgres', url, options: { migrationLockTimeoutMillis: 300 } } as const
    await (await openStorage({ database }, quiet)).close()
    const sql = postgres(url, { max: 1 })
    onTestFinished(() => sql.end())
    // As of the version before blobs, whose migration refers to messages.
    await sql`delete from holdfast_migrations where id > 2`
    await sql`drop table blob_usage, maintenance_leases, blob_refs, blobs, blob_leases, blob_content cascade`
    await sql.begin(async (tx) => {
      await tx`lock table messages in share mode`
      await expect(openStorage({ database }, quiet)).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
    })
    await (await openStorage({ database }, quiet)).close()
  })

  it('opens when the other process is done in time', async () => {
    const url = await freshPostgres()
    const storages = await Promise.all(times(3, () => openStorage({ database: { type: 'postgres', url } }, quiet)))
    await Promise.all(storages.map((storage) => storage.close()))
  })
})
