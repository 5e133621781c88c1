import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { getTableName } from 'drizzle-orm'
import { importInto, isStorageError, openStorage, type Storage, type StorageError, type StorageOptions } from 'holdfast'
import * as schema from 'holdfast/schema/postgres'
import { blobsContract, repositoryContract, wordEmbedding } from 'holdfast/testing'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate as migrateDriver } from '../../src/database/migrate.ts'
import { postgresDriver } from '../database/drivers.ts'
import { ownMigrations } from '../database/histories.ts'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { blocks, pageText } from './pages.ts'

const scripts = Object.fromEntries(
  blocks('docs/privileges.md', 'sql').map(({ code }) => [/^-- (\S+)$/m.exec(code)?.[1], code]),
)
const PASSWORDS: Record<string, string> = {
  agent_migrator: 'change me',
  agent_app: 'change me too',
  agent_reader: 'change me as well',
}

let server: PostgresServer
let admin: postgres.Sql

/** Runs SQL as the administrator. */
const run = (sql: string | undefined) => admin.unsafe(sql ?? '')

beforeAll(async () => {
  server = await startPostgres()
  admin = postgres(server.url, { max: 1, onnotice: () => {} })
  // Another program shares the database, and its journal is its own.
  await run('create schema drizzle; create table drizzle.__drizzle_migrations (hash text, created_at bigint)')
  await run(scripts['setup.sql'])
})

afterAll(async () => {
  await admin.end()
  await server.stop('immediate')
})

const storePath = join(freshDirectory(), 'blobs')

const urlOf = (user: string) => Object.assign(new URL(server.url), { username: user, password: PASSWORDS[user] }).href

function open(user: string, options: StorageOptions & { schema?: string } = {}): Promise<Storage> {
  const { schema: name = 'agent', ...rest } = options
  const database = { type: 'postgres', url: urlOf(user), options: { schema: name, search: true } } as const
  return openStorage(
    { database, blobStore: { type: 'local', storePath } },
    {
      ...quiet,
      migrate: false,
      embedding: wordEmbedding(),
      ...rest,
    },
  )
}

/** Opens a storage that is refused, and returns the error. */
async function refusal(user: string, options?: Parameters<typeof open>[1]): Promise<unknown> {
  const opened = await open(user, options).catch((error: unknown) => error)
  if (!(opened instanceof Error)) await (opened as Storage).close() // what is no error is a storage
  return opened
}

const missing = (object: string, ...privileges: string[]) => ({
  code: 'PRIVILEGE_MISSING',
  message: expect.stringContaining(object),
  details: expect.objectContaining({ object, privileges }),
})

describe('before the migration', () => {
  it('openStorage() says that the program has to wait for the migration', async () => {
    expect(await refusal('agent_app')).toMatchObject({ code: 'MIGRATION_PENDING' })
  })

  it('openStorage() names the schema and the privilege if the user may not migrate', async () => {
    expect(await refusal('agent_app', { migrate: true })).toMatchObject(missing('schema agent', 'USAGE', 'CREATE'))
    expect(await refusal('agent_app', { migrate: true, schema: 'new' })).toMatchObject(
      missing('database postgres', 'CREATE'),
    )
  })

  it('openStorage() names the schema if the user may not use it', async () => {
    for (const user of ['agent_app', 'agent_migrator']) {
      await run(`revoke usage on schema agent from ${user}`)
      for (const apply of [true, false]) {
        expect(await refusal(user, { migrate: apply })).toMatchObject(missing('schema agent', 'USAGE'))
      }
      await run(`grant usage on schema agent to ${user}`)
    }
  })

  it('openStorage() names the database if the user may not connect', async () => {
    await run('revoke connect on database postgres from public')
    expect(await refusal('agent_app')).toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('GRANT CONNECT ON DATABASE'),
    })
    await run('grant connect on database postgres to public')
  })
})

describe('after the migration', () => {
  beforeAll(async () => (await open('agent_migrator', { migrate: true })).close())

  const asProgram = (options: StorageOptions) => open('agent_app', options)
  // A part of the cases in `npm test`: the next test makes every call.
  const cases = [...repositoryContract(asProgram), ...blobsContract(asProgram)]
  for (const { name, run: runCase } of cases.filter((_, i) => i % rounds(16, 1) === 0)) {
    it(`${name}, as agent_app`, runCase)
  }

  it('agent_app lacks no privilege for any call', async () => {
    await using program = await open('agent_app')
    for (const call of everything(program, randomUUID())) {
      const error = await call().catch((failed: unknown) => failed)
      expect(isStorageError(error, 'PRIVILEGE_MISSING') ? error : undefined, String(call)).toBeUndefined()
    }
  })

  it('agent_reader reads everything and writes nothing', async () => {
    await run(scripts['reader.sql'])
    await using program = await open('agent_app')
    await program.messages.append('read', { role: 'user', content: 'x' })
    await using reader = await open('agent_reader')
    expect(await reader.messages.latest('read', 1)).toHaveLength(1)
    expect((await reader.health()).ok).toBe(true)
    expect((await reader.stats()).database.rows.messages).toBeGreaterThan(0)
    await expect(reader.kv.set('a', 1)).rejects.toMatchObject({
      ...missing('table kv', 'SELECT', 'INSERT', 'UPDATE'),
      message:
        'The PostgreSQL user agent_reader lacks a privilege on table kv: GRANT SELECT, INSERT, UPDATE ON TABLE kv TO agent_reader. docs/privileges.md has all grants',
    })
  })

  it('importInto() names the sequence of events, and works with the grant of the page', async () => {
    const directory = join(freshDirectory(), 'archive')
    await using source = await openStorage(undefined, quiet)
    await source.kv.set('imported', 1)
    await source.events.append({ type: 'x' })
    await source.export(directory)
    await using program = await open('agent_app')
    await program.events.prune({ before: new Date('2999-01-01') })
    const [last] = await run('select last_value from agent.events_seq_seq')
    await run(`select setval('agent.events_seq_seq', 1, false)`)
    await expect(importInto(program, directory)).rejects.toMatchObject({
      code: 'PRIVILEGE_MISSING',
      message: expect.stringContaining('sequence events_seq_seq'),
    })
    await run('set search_path = agent')
    await run(/GRANT SELECT, UPDATE ON SEQUENCE [^`]+/.exec(pageText('docs/privileges.md'))?.[0])
    expect(await importInto(program, directory)).toMatchObject({ resumed: true, inserted: 2, refused: 0 })
    expect((await program.events.append({ type: 'y' })).seq).toBe(2)
    await run('revoke all on sequence events_seq_seq from agent_app; set search_path = public')
    await run(`select setval('agent.events_seq_seq', ${Number(last?.last_value) + 10})`)
  })

  it('openStorage() names the journal if the user may not read it', async () => {
    await run('revoke all on agent.holdfast_migrations from agent_app')
    expect(await refusal('agent_app')).toMatchObject(missing('table holdfast_migrations', 'SELECT'))
    await run('grant select on agent.holdfast_migrations to agent_app')
    await using program = await open('agent_app')
    await program.kv.set('with SELECT alone on the journal', 1)
  })

  it('openStorage() names the table if the user who migrates is not its owner', async () => {
    await run('create schema older; grant usage, create on schema older to agent_migrator, agent_app')
    const driver = await postgresDriver({ url: urlOf('agent_migrator'), options: { schema: 'older' } })
    await migrateDriver(driver, { apply: true, known: ownMigrations('postgres').slice(0, 6) }) // the next one alters tables
    await run('grant select, insert, update, delete on all tables in schema older to agent_app')
    expect(await refusal('agent_app', { migrate: true, schema: 'older' })).toMatchObject({
      code: 'PRIVILEGE_MISSING',
      message: expect.stringMatching(
        /^The PostgreSQL user agent_app is not the owner of \w+ \w+: migrate as its owner/,
      ),
    })
  })

  it('the grants on tables that are there already are enough', async () => {
    await run('revoke all on all tables in schema agent from agent_app')
    expect(await refusal('agent_app')).toMatchObject({ code: 'PRIVILEGE_MISSING' })
    await run(scripts['afterwards.sql'])
    await using program = await open('agent_app')
    expect(await errorsOfEverything(program)).toEqual([])
  })

  it('each missing privilege is an error that names the table and the privilege', { timeout: 600_000 }, async () => {
    await using program = await open('agent_app')
    const tables = Object.values(schema).map(getTableName)
    const missed = new Set<string>()
    // Each privilege is missing on a part of the tables in `npm test`: every call is made for each.
    const all = tables.flatMap((table, i) =>
      ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].flatMap((privilege, k) =>
        (i + k) % rounds(8, 1) === 0 ? [{ table, privilege }] : [],
      ),
    )
    for (const { table, privilege } of all) {
      await run(`revoke ${privilege} on agent.${table} from agent_app`)
      const said = (await errorsOfEverything(program)).map(named)
      await run(`grant ${privilege} on agent.${table} to agent_app`)
      const isRight = (error: string) => error.startsWith(`table ${table}:`) && error.includes(privilege)
      expect(
        said.filter((error) => !isRight(error)),
        `${privilege} on ${table}`,
      ).toEqual([])
      // The other two are not needed on every table.
      if (said.length === 0 && ['SELECT', 'INSERT'].includes(privilege)) missed.add(table)
    }
    const unused = ['blob_chunks', 'blob_usage'] // a store of files has no use for the first; the migration fills the second
    expect([...missed].filter((table) => !unused.includes(table))).toEqual([])
    expect(await errorsOfEverything(program)).toEqual([])
  })
})

/** Returns the object and the privileges that an error names, or the whole error if it names none. */
function named(error: StorageError): string {
  if (!isStorageError(error, 'PRIVILEGE_MISSING')) return String(error)
  return `${error.details.object}: ${error.details.privileges?.join()}`
}

/** Calls something of every repository. Returns the errors that calls reject with. */
async function errorsOfEverything(storage: Storage): Promise<StorageError[]> {
  const errors: StorageError[] = []
  const caught = (error: unknown) => {
    if (!isStorageError(error)) throw error
    // A call that builds on a refused call fails as well.
    if (!['NOT_FOUND', 'BLOB_NOT_FOUND', 'INVALID_STATE'].includes(error.code)) errors.push(error)
  }
  for (const call of everything(storage, randomUUID())) await call().catch(caught)
  for (const { error } of await storage.maintain()) if (error) caught(error)
  return errors
}

function everything(storage: Storage, id: string): (() => Promise<unknown>)[] {
  const { sessions, messages, kv, lists, queues, memories, events, prompts, workspaces } = storage
  const { toolState, toolExecutions, approvals, toolPreferences, checkpoints, blobs } = storage
  const snapshot = { type: 'text', data: new Uint8Array([1]) }
  const identity = { runId: id, turnId: 'turn', modelStepId: 'step', toolCallId: 'call' }
  let memory = id
  let blob = `blob:${id.replaceAll('-', '')}`
  return [
    () => sessions.create({ id }),
    () => sessions.get(id),
    () => sessions.update(id, { title: 'new' }),
    async () => {
      blob = (await blobs.put(Buffer.from(id))).uri
    },
    () => messages.append(id, { id: 'a', role: 'user', content: [{ type: 'image', image: blob }] }),
    () => messages.latest(id, 5),
    () => messages.update(id, 'a', { content: 'changed' }),
    () => messages.search('changed'),
    () => storage.embedPending(),
    () => messages.recall('changed'),
    () => sessions.fork(id),
    () => messages.append(id, { role: 'user', content: 'x' }),
    () => messages.pop(id),
    () => storage.transaction((tx) => tx.once(id, 'operation')),
    () => kv.set(id, 1),
    () => kv.set(id, 2),
    () => kv.get(id),
    () => kv.set(id, 3, { sessionId: id }),
    () => lists.ofSession(id).append(`${id} of a session`, 1),
    () => kv.delete(id),
    () => lists.append(id, 1),
    () => lists.range(id, 0, 1),
    () => lists.update(id, (items) => ({ items: [...items, 2], result: 0 })),
    () => lists.delete(id),
    () => queues.push(id, 'steer', { id }),
    () => queues.list(id, 'steer'),
    () => queues.takeAll(id, 'steer'),
    async () => {
      memory = (await memories.create({ content: 'x', tags: ['a'] })).id
    },
    () => memories.list({ tags: ['a'] }),
    () => memories.update(memory, { content: 'y', tags: ['b'] }),
    () => memories.search('y'),
    () => storage.embedPending(),
    () => memories.recall('y'),
    () => memories.delete(memory),
    () => events.append({ type: 'x', sessionId: id }),
    () => events.list({ sessionId: id }),
    () => events.prune({ before: new Date(0) }),
    () => prompts.save({ name: id, content: 'x' }),
    () => prompts.get(id),
    () => prompts.delete(id),
    () => workspaces.save({ id, path: `/${id}` }),
    () => workspaces.setCurrent(id),
    () => workspaces.getCurrent(),
    () => workspaces.clearCurrent(),
    () => toolState.set('tool', id, 1),
    () => toolState.get('tool', id),
    () => toolState.delete('tool', id),
    () => toolExecutions.start({ executionId: id, identity, toolName: 'tool' }),
    () => toolExecutions.complete(id),
    () => approvals.request({ id, type: 'tool' }),
    () => approvals.respond({ id, decision: 'approved' }),
    () => approvals.setState('x', id),
    () => approvals.deleteState(id),
    () => toolPreferences.allow('tool', id),
    () => toolPreferences.isAllowed('tool', id),
    () => toolPreferences.disallow('tool', id),
    () => toolPreferences.setPreferences({ disabled: ['tool'] }, id),
    () => toolPreferences.deletePreferences(id),
    () => checkpoints.put({ threadId: id, ...snapshot, versions: { a: '1' }, values: { a: snapshot } }),
    () => checkpoints.putWrites({ threadId: id, id, taskId: 'task' }, [{ channel: 'a', ...snapshot }]),
    () => checkpoints.latest({ threadId: id }),
    () => checkpoints.prune(id, { keepLast: 1 }),
    () => checkpoints.deleteThread(id),
    () => sessions.delete(id),
    () => blobs.get(blob),
    () => blobs.delete(blob, { force: true }),
    () => storage.stats(),
    () => storage.export(join(freshDirectory(), id)),
    async () => (await open('agent_app')).close(),
  ]
}
