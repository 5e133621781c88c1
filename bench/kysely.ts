import { randomUUID } from 'node:crypto'
import type { MessageInput } from 'holdfast'
import type { Contender } from './contender.ts'
import { loadPeer } from './load-peer.ts'

type Values = Record<string, unknown>

/** The part of Kysely's queries that the benchmarks use. */
interface Query {
  selectAll(): Query
  where(column: string, operator: string, value: unknown): Query
  orderBy(column: string): Query
  limit(count: number): Query
  values(values: Values): Query
  onConflict(
    conflict: (builder: { columns(names: string[]): { doUpdateSet(values: unknown): unknown } }) => unknown,
  ): Query
  returning(columns: string[]): Query
  returningAll(): Query
  execute(): Promise<Values[]>
  executeTakeFirst(): Promise<Values | undefined>
  executeTakeFirstOrThrow(): Promise<Values>
}

interface Database {
  selectFrom(table: string): Query
  insertInto(table: string): Query
  transaction(): { execute<T>(body: (trx: Database) => Promise<T>): Promise<T> }
}

interface Kysely {
  Kysely: new (options: { dialect: unknown }) => Database
  SqliteDialect: new (options: { database: unknown }) => unknown
  sql(strings: TemplateStringsArray, ...values: unknown[]): unknown
}

interface KyselyPostgres {
  PostgresJSDialect: new (options: { postgres: unknown }) => unknown
}

/** How a database keeps JSON and times. */
interface Encoding {
  json(value: unknown): unknown
  instant(date: Date): unknown
  decode(row: Values): Values
}

const forSqlite: Encoding = {
  json: (value) => JSON.stringify(value),
  instant: (date) => date.getTime(),
  decode: (row) => ({
    ...row,
    content: JSON.parse(String(row.content)),
    metadata: JSON.parse(String(row.metadata)),
    created_at: new Date(Number(row.created_at)),
  }),
}

const forPostgres: Encoding = { json: (value) => value, instant: (date) => date, decode: (row) => row }

/** Returns a contender over Kysely, which builds each query per call. Undefined if Kysely is not installed. */
export async function kyselyOnSqlite(database: unknown): Promise<Partial<Contender> | undefined> {
  const kysely = await loadPeer<Kysely>('kysely')
  return kysely && contender(kysely, new kysely.SqliteDialect({ database }), forSqlite)
}

export async function kyselyOnPostgres(postgres: unknown): Promise<Partial<Contender> | undefined> {
  const kysely = await loadPeer<Kysely>('kysely')
  const dialects = await loadPeer<KyselyPostgres>('kysely-postgres-js')
  return kysely && dialects && contender(kysely, new dialects.PostgresJSDialect({ postgres }), forPostgres)
}

function contender({ Kysely, sql }: Kysely, dialect: unknown, { json, instant, decode }: Encoding): Partial<Contender> {
  const db = new Kysely({ dialect })
  const messagesOf = (handle: Database, sessionId: string) =>
    handle.selectFrom('messages').selectAll().where('session_id', '=', sessionId).where('owner_id', '=', '')
  return {
    async message(sessionId, id) {
      const row = await messagesOf(db, sessionId).where('id', '=', id).executeTakeFirst()
      return row && decode(row)
    },
    async page(sessionId, after, limit) {
      const query = messagesOf(db, sessionId)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit + 1)
      return (await query.execute()).map(decode)
    },
    append: (sessionId: string, { id = randomUUID(), role, content, metadata = {} }: MessageInput) =>
      db.transaction().execute(async (trx) => {
        const now = instant(new Date())
        const { last_seq: seq } = await trx
          .insertInto('sessions')
          .values({
            id: sessionId,
            metadata: '{}',
            version: 1,
            created_at: now,
            updated_at: now,
            last_seq: 1,
            message_count: 1,
            last_active_at: now,
          })
          .onConflict((conflict) =>
            conflict.columns(['id', 'owner_id']).doUpdateSet({
              last_seq: sql`sessions.last_seq + 1`,
              message_count: sql`sessions.message_count + 1`,
              last_active_at: now,
            }),
          )
          .returning(['last_seq'])
          .executeTakeFirstOrThrow()
        const row = { session_id: sessionId, seq, id, role, created_at: now }
        const stored = await trx
          .insertInto('messages')
          .values({ ...row, content: json(content), metadata: json(metadata) })
          .returningAll()
          .executeTakeFirstOrThrow()
        return decode(stored)
      }),
  }
}
