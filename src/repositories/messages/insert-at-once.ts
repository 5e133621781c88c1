import { type SQL, sql } from 'drizzle-orm'
import { arrayText } from '../../database/array-text.ts'
import type { Db } from '../../database/db.ts'
import { type Builder, type Call, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import { currentGeneration } from '../search/generation.ts'
import { termsOfMessage } from '../search/terms.ts'
import { type Allocated, allocation, type NewMessage, type SeqAllocation } from './insert.ts'
import type { Message } from './types.ts'

/**
 * Allocates the seqs of messages, inserts the messages and, if the search is on, their entries in its index, in one statement:
 * PostgreSQL then runs no BEGIN and no COMMIT around it. SQLite has no such statement. For an expired session the columns of the
 * session are null and the insert fails. `given` is a table of the messages and `indexed` one of their tokens, both with the
 * places of the messages from 1.
 */
function insertAtOnce(db: Builder, arg: SeqAllocation, given: SQL, indexed?: SQL) {
  const { messages: m, sessions: s } = db.tables
  const { id, ownerId, lastSeq, createdAt } = s
  const session = db.orm.$with('session').as(allocation(db, arg).returning({ id, ownerId, lastSeq, createdAt }))
  const seq = sql<number>`session.last_seq - cast(${arg.count} as integer) + given.place`
  const messages = db.orm
    .select({
      sessionId: sql<string>`session.id`.as('session_id'),
      ownerId: sql<string>`session.owner_id`.as('owner_id'),
      seq: seq.as('seq'),
      id: sql<string>`given.id`.as('id'),
      role: sql<string>`given.role`.as('role'),
      content: sql<Message['content']>`given.content`.as('content'),
      metadata: sql<JsonObject>`given.metadata`.as('metadata'),
      createdAt: sql<Date>`given.created_at`.as('created_at'),
    })
    .from(sql`${given} as given(id, role, content, metadata, created_at, place) left join session on true`)
  return db.orm
    .with(session, ...(indexed === undefined ? [] : [entriesOf(db, seq, indexed)]))
    .insert(m)
    .select(messages)
    .returning({
      lastSeq: sql<number>`(select last_seq from session)`,
      createdAt: sql<Date>`(select created_at from session)`.mapWith(s.createdAt),
    })
}

/**
 * Makes the part that inserts the entries. drizzle's insert from a select asks for all columns, and their sequence counts by
 * default.
 */
function entriesOf(db: Builder, seq: SQL, indexed: SQL) {
  const { messages: e } = db.kit.entries
  const columns = [e.sessionId, e.ownerId, e.seq, e.role, e.generation, e.terms].map(({ name }) => sql.identifier(name))
  return db.orm.$with('entries', {}).as(sql`
    insert into ${e} (${sql.join(columns, sql`, `)})
    select session.id, session.owner_id, ${seq}, given.role, ${currentGeneration(db)}, cast(given.terms as tsvector)
    from ${indexed} as given(role, terms, place) cross join session`)
}

type OneMessage = SeqAllocation & NewMessage

/** Returns one message as values: arrays of one item take PostgreSQL 60 us longer. */
function valuesOf(db: Builder, arg: OneMessage): SQL {
  const { content, metadata, createdAt } = db.tables.messages
  const values = [
    sql`cast(${arg.id} as text)`,
    sql`cast(${arg.role} as text)`,
    sql`cast(${sql.param(arg.content, content)} as json)`,
    sql`cast(${sql.param(arg.metadata, metadata)} as json)`,
    sql`cast(${sql.param(arg.createdAt, createdAt)} as timestamptz)`,
    sql.raw('1'),
  ]
  return sql`(values (${sql.join(values, sql`, `)}))`
}

const insertOne = statement((db, arg: OneMessage) => insertAtOnce(db, arg, valuesOf(db, arg)))

const insertOneIndexed = statement((db, arg: OneMessage & { terms: string }) => {
  const entry = sql`(values (cast(${arg.role} as text), cast(${arg.terms} as text), 1))`
  return insertAtOnce(db, arg, valuesOf(db, arg), entry)
})

/** Each property of new messages as the text of an array, in the order of the messages. */
interface MessageArrays {
  ids: string
  roles: string
  contents: string
  metadatas: string
  createdAts: string
}

type ManyMessages = SeqAllocation & MessageArrays

function rowsOf(arg: ManyMessages): SQL {
  const arrays = [
    sql`cast(${arg.ids} as text)::text[]`,
    sql`cast(${arg.roles} as text)::text[]`,
    sql`cast(${arg.contents} as text)::json[]`,
    sql`cast(${arg.metadatas} as text)::json[]`,
    sql`cast(${arg.createdAts} as text)::timestamptz[]`,
  ]
  return sql`unnest(${sql.join(arrays, sql`, `)}) with ordinality`
}

const insertMany = statement((db, arg: ManyMessages) => insertAtOnce(db, arg, rowsOf(arg)))

const insertManyIndexed = statement((db, arg: ManyMessages & { terms: string }) => {
  const arrays = sql`cast(${arg.roles} as text)::text[], cast(${arg.terms} as text)::text[]`
  return insertAtOnce(db, arg, rowsOf(arg), sql`unnest(${arrays}) with ordinality`)
})

/**
 * Returns the call that allocates the seqs of messages, inserts the messages and indexes them if the search is on. PostgreSQL
 * only.
 */
export function insertionOf(
  db: Pick<Db, 'dialect' | 'search'>,
  allocation: SeqAllocation,
  messages: readonly NewMessage[],
): Call<Allocated> {
  const [first] = messages
  if (first !== undefined && messages.length === 1) {
    const arg = { ...first, ...allocation }
    return db.search ? insertOneIndexed.with({ ...arg, terms: termsOfMessage(db, first.content) }) : insertOne.with(arg)
  }
  const array = (textOf: (message: NewMessage) => string | null) => arrayText(messages.map(textOf))
  const arg = {
    ...allocation,
    ids: array(({ id }) => id),
    roles: array(({ role }) => role),
    contents: array(({ content }) => (content === null ? null : JSON.stringify(content))),
    metadatas: array(({ metadata }) => JSON.stringify(metadata)),
    createdAts: array(({ createdAt }) => createdAt.toISOString()),
  }
  if (!db.search) return insertMany.with(arg)
  return insertManyIndexed.with({ ...arg, terms: array(({ content }) => termsOfMessage(db, content)) })
}
