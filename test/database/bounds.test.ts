import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage } from 'holdfast'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { emptyPostgres, freshPostgres } from '../setup/databases.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { freshDatabase } from './dialects.ts'
import { outcomes, outcomeWithin } from './drivers.ts'
import { ownMigrations } from './histories.ts'

/** Sends a signal to all processes of a server. After SIGSTOP the server keeps its connections and answers nothing. */
function signal(server: PostgresServer, name: NodeJS.Signals): void {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').match(/\d+/g) ?? []
  for (const pid of [server.pid, ...children.map(Number)]) {
    try {
      process.kill(pid, name)
    } catch {} // a backend has ended meanwhile
  }
}

describe('a storage whose PostgreSQL is frozen', () => {
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

  it('rejects reads, writes and transactions within four times connectionTimeoutMillis', async () => {
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
      const ends = await Promise.all(calls.map((call) => outcomeWithin(bound, call())))
      for (const outcome of ends) expect(['CONNECTION_LOST', 'CONNECTION_FAILED', 'TIMEOUT']).toContain(outcome)
      const unhealthy = storage.health().then((health) => {
        expect(health).toMatchObject({ ok: false, database: { ok: false } })
      })
      expect(await outcomeWithin(5500, unhealthy)).toBe('ok')
    } finally {
      signal(server, 'SIGCONT')
    }
    await expect.poll(() => storage.kv.get('before').catch(() => undefined), { timeout: 5000 }).toBe(1)
    expect((await storage.health()).ok).toBe(true)
  })

  it('rejects a serializable transaction, which waits for BEGIN, after its timeoutMillis', async () => {
    const storage = await openAgainst()
    signal(server, 'SIGSTOP')
    try {
      const options = { isolation: 'serializable', timeoutMillis: 100 } as const
      const call = storage.transaction((tx) => tx.kv.get('before'), options)
      expect(await outcomeWithin(connectionTimeoutMillis, call)).toBe('TIMEOUT')
    } finally {
      signal(server, 'SIGCONT')
    }
  })

  it('resolves close() within four times connectionTimeoutMillis', async () => {
    const storage = await openAgainst()
    signal(server, 'SIGSTOP')
    try {
      const writing = storage.kv.set('frozen', 1).catch(() => {})
      expect(await outcomeWithin(4 * connectionTimeoutMillis + 500, storage.close())).toBe('ok')
      await writing
    } finally {
      signal(server, 'SIGCONT')
    }
  })

  it('rejects openStorage() within twice connectionTimeoutMillis', async () => {
    signal(server, 'SIGSTOP')
    try {
      expect(await outcomeWithin(2 * connectionTimeoutMillis + 500, openAgainst())).toBe('CONNECTION_FAILED')
    } finally {
      signal(server, 'SIGCONT')
    }
  })
})

describe('a storage whose PostgreSQL is slow', () => {
  it('does not reject a statement that takes longer than connectionTimeoutMillis', async () => {
    const connectionTimeoutMillis = 500
    const url = await freshPostgres()
    await using storage = await openStorage({ database: { type: 'postgres', url, connectionTimeoutMillis } }, quiet)
    await storage.kv.set('before', 1)
    const sql = postgres(url, { max: 1 })
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
  it('rejects with TIMEOUT if another process holds the migration lock', async () => {
    const url = await emptyPostgres()
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

  it('rejects with TIMEOUT if a long query uses a table that a migration changes', async () => {
    const older = await freshDatabase('postgres')
    await older.migrate(ownMigrations('postgres').slice(0, 2))
    const options = { migrationLockTimeoutMillis: 300 }
    const database = { type: 'postgres', url: older.location, options } as const
    const sql = postgres(older.location, { max: 1 })
    onTestFinished(() => sql.end())
    await sql.begin(async (tx) => {
      await tx`lock table messages in share mode` // the next migration refers to it
      await expect(openStorage({ database }, quiet)).rejects.toMatchObject({
        code: 'TIMEOUT',
        retryable: true,
        message: expect.stringMatching(
          /another session used a table .*"messages".* options.migrationLockTimeoutMillis/,
        ),
      })
    })
    await (await openStorage({ database }, quiet)).close()
  })

  it('tries again if PostgreSQL has ended the migration in favour of a transaction of a program', async () => {
    const older = await freshDatabase('postgres')
    await older.migrate(ownMigrations('postgres').slice(0, 15))
    const sql = postgres(older.location, { max: 1 })
    onTestFinished(() => sql.end())
    const database = { type: 'postgres', url: older.location } as const
    // A server looks for a deadlock once, after this time: both have to wait by then.
    await sql`do $$ begin execute format('alter database %I set deadlock_timeout = ''3s''', current_database()); end $$`
    const opening = await sql.begin(async (tx) => {
      await tx`set local deadlock_timeout = '30s'` // the other one is ended
      await tx`select * from kv`
      const opening = outcomes([openStorage({ database }, quiet).then((storage) => storage.close())])
      const waits = async () =>
        (await tx`select 1 from pg_locks where not granted and relation = 'kv'::regclass`).length
      await expect.poll(waits, { interval: 20 }).toBe(1)
      await tx`select * from lists`
      return { ended: opening }
    })
    expect(await opening.ended).toEqual(['ok'])
  })

  it('resolves if the other process releases the migration lock in time', async () => {
    const url = await freshPostgres()
    const storages = await Promise.all(times(3, () => openStorage({ database: { type: 'postgres', url } }, quiet)))
    await Promise.all(storages.map((storage) => storage.close()))
  })
})
