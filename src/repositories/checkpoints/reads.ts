import { and, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import type { JsonCondition } from '../../database/json-condition.ts'
import { textEntries } from '../../database/json-entries.ts'
import { meetsConditions } from '../../database/json-filter.ts'
import { ownerOfNames } from '../../database/owner.ts'
import { keyset } from '../../database/paging/keyset.ts'
import { CURSOR, type CursorFormat, cursorOf, decodeCursor } from '../../database/paging/list-query.ts'
import { DEFAULT_LIMIT, type Page, type PageOptions } from '../../database/paging/page.ts'
import { type Builder, type Statement, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import { jsonCopy } from '../../validation/json.ts'
import type { Checkpoint, CheckpointWrite, TypedBytes } from './types.ts'

/** A checkpoint, a value or a write: what `part` says. One statement reads all three, so that they fit together. */
interface PartRow extends TypedBytes {
  part: 'checkpoint' | 'value' | 'write'
  threadId: string
  namespace: string
  /** The checkpoint. Null for a value, which may belong to several. */
  id: string | null
  /** The parent, the channel of a value, or the task. */
  a: string | null
  /** The metadata, the version of a value, or the path of the task. */
  b: string | null
  /** The versions, or the channel of a write. */
  c: string | null
  index: number | null
  createdAt: Date | null
}

/** Which checkpoints are read: the newest ones that match. */
export interface CheckpointFilters {
  threadId?: string | undefined
  namespace?: string | undefined
  id?: string | undefined
  before?: string | undefined
  metadata?: JsonObject | undefined
}

const statements = new Map<string, Statement<Record<string, unknown>, PartRow>>()

/** The order of a list: the newest first. Ids of different threads may be equal. */
const LIST: CursorFormat<Checkpoint> = {
  name: 'checkpoints',
  orderBy: [
    { name: 'id', kind: 'text', column: ({ checkpoints }) => checkpoints.id },
    { name: 'threadId', kind: 'text', column: ({ checkpoints }) => checkpoints.threadId },
    { name: 'namespace', kind: 'text', column: ({ checkpoints }) => checkpoints.namespace },
  ],
}

/** Reads a page of checkpoints with their values and writes, in one statement. A value that several have is read once. */
export async function listCheckpoints(
  db: Db,
  filters: CheckpointFilters,
  { limit = DEFAULT_LIMIT, cursor }: PageOptions,
): Promise<Page<Checkpoint>> {
  const after = cursor === undefined ? undefined : decodeCursor(LIST, cursor)
  const found = await readCheckpoints(db, filters, limit + 1, after)
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return found.length > limit && last ? { items, nextCursor: cursorOf(LIST, last) } : { items }
}

/** Reads the newest checkpoints that match. */
export async function readCheckpoints(
  db: Db,
  { metadata, ...filters }: CheckpointFilters,
  limit: number,
  after?: Record<string, unknown>,
): Promise<Checkpoint[]> {
  const given: Record<string, unknown> = { ...filters }
  if (metadata !== undefined && Object.keys(metadata).length > 0)
    given.metadata = JSON.stringify(conditionsOf(metadata))
  for (const name in given) if (given[name] === undefined) delete given[name]
  const shape = `${Object.keys(given).sort()} ${after !== undefined} ${limit === 1}`
  let query = statements.get(shape)
  if (query === undefined) {
    query = compile(Object.keys(given), after !== undefined, limit === 1)
    statements.set(shape, query)
  }
  return checkpointsOf(await query.all(db, { ...given, ...after, limit }))
}

/** Returns the conditions that a metadata has every one of these properties. */
function conditionsOf(metadata: JsonObject): JsonCondition[] {
  return Object.entries(jsonCopy(metadata)).map(([property, value]) => ({ property, test: 'in', values: [value] }))
}

type Condition = (db: Builder, value: string) => SQL

const CONDITIONS: Record<string, Condition> = {
  threadId: ({ tables }, value) => eq(tables.checkpoints.threadId, value),
  namespace: ({ tables }, value) => eq(tables.checkpoints.namespace, value),
  id: ({ tables }, value) => eq(tables.checkpoints.id, value),
  before: ({ tables }, value) => lt(tables.checkpoints.id, value),
  metadata: (db, value) => meetsConditions(db, db.tables.checkpoints.metadata, sql`${value}`),
}

/** Compiles the statement for a set of filters. `cross join` makes SQLite start with the few checkpoints; PostgreSQL chooses. */
function compile(filters: string[], hasCursor: boolean, isOne: boolean): Statement<Record<string, unknown>, PartRow> {
  return statement((db, arg: Record<string, unknown>) => {
    const { checkpoints: c, checkpointValues: v, checkpointWrites: w } = db.tables
    const owner = ownerOfNames(db)
    // A column with one value in all rows would only make SQLite sort.
    const keys = LIST.orderBy.filter(({ name }) => !filters.includes(name))
    const page = keyset(db.dialect, {
      columns: keys.map(({ column }) => column(db.tables)),
      order: 'desc',
      ...(hasCursor && { after: keys.map(({ name }) => arg[CURSOR + name]) }),
    })
    // Placeholders, each for the filter of its name.
    const conditions = filters.map((name) => CONDITIONS[name]?.(db, arg[name] as string))
    const isPicked = and(eq(c.ownerId, owner), ...conditions, page.condition)
    const order = page.orderBy.length > 0 ? sql`order by ${sql.join(page.orderBy, sql`, `)}` : sql``
    // One checkpoint has each of its values once.
    const distinct = isOne ? sql`` : sql`distinct`
    // SQLite prepares a statement anew for each value of a bare parameter in LIMIT, which takes longer than the read.
    const limit = isOne ? sql`1` : sql`cast(${arg.limit} as integer)`
    const parts = sql`(
      with picked as (select ${c.threadId}, ${c.namespace}, ${c.id}, ${c.parentId}, ${c.metadata}, ${c.versions},
          ${c.createdAt}, ${c.type}, ${c.data}
        from ${c} where ${isPicked} ${order} limit ${limit}),
      wanted as (select ${distinct} picked.thread_id, picked.namespace, e.key, e.value
        from picked cross join ${textEntries(db, sql`picked.versions`)} e)
      select 'checkpoint' as part, thread_id, namespace, id, parent_id as a, cast(metadata as text) as b,
        cast(versions as text) as c, 0 as position, created_at, type, data from picked
      union all
      select 'value', ${v.threadId}, ${v.namespace}, null, ${v.channel}, ${v.version}, null, null, null, ${v.type}, ${v.data}
        from wanted cross join ${v} where ${eq(v.ownerId, owner)} and ${v.threadId} = wanted.thread_id
        and ${v.namespace} = wanted.namespace and ${v.channel} = wanted.key and ${v.version} = wanted.value
      union all
      select 'write', ${w.threadId}, ${w.namespace}, ${w.checkpointId}, ${w.taskId}, ${w.taskPath}, ${w.channel},
        ${w.index}, null, ${w.type}, ${w.data}
        from picked cross join ${w} where ${eq(w.ownerId, owner)} and ${w.threadId} = picked.thread_id
        and ${w.namespace} = picked.namespace and ${w.checkpointId} = picked.id
    ) parts`
    return db.orm
      .select({
        part: sql<PartRow['part']>`part`,
        threadId: sql<string>`thread_id`,
        namespace: sql<string>`namespace`,
        id: sql<string | null>`id`,
        a: sql<string | null>`a`,
        b: sql<string | null>`b`,
        c: sql<string | null>`c`,
        index: sql<number | null>`position`,
        createdAt: sql<Date | null>`created_at`.mapWith(c.createdAt),
        type: sql<string>`type`,
        data: sql<Uint8Array>`data`.mapWith(c.data),
      })
      .from(parts)
  })
}

/** Puts the parts together. The rows come in no certain order. */
function checkpointsOf(rows: readonly PartRow[]): Checkpoint[] {
  const found: Checkpoint[] = []
  const values = new Map<string, TypedBytes>()
  const writes = new Map<string, CheckpointWrite[]>()
  for (const { part, threadId, namespace, id, a, b, c, index, createdAt, type, data } of rows) {
    if (part === 'checkpoint') {
      // The columns of a checkpoint are not null, and hold the JSON that was written.
      const fixed = { threadId, namespace, id: id as string, parentId: a, createdAt: createdAt as Date, type, data }
      const [metadata, versions] = [JSON.parse(b as string), JSON.parse(c as string)]
      found.push({ ...fixed, metadata, versions, values: {}, writes: [] })
    } else if (part === 'value') {
      values.set(nameOf(threadId, namespace, a, b), { type, data })
    } else {
      // The columns of a write are not null.
      const write = { taskId: a, taskPath: b, index, channel: c, type, data } as CheckpointWrite
      const key = nameOf(threadId, namespace, id)
      const others = writes.get(key)
      if (others) others.push(write)
      else writes.set(key, [write])
    }
  }
  for (const checkpoint of found) {
    const { threadId, namespace, id, versions } = checkpoint
    const own: [string, TypedBytes][] = []
    for (const channel of Object.keys(versions)) {
      const value = values.get(nameOf(threadId, namespace, channel, versions[channel]))
      if (value) own.push([channel, value])
    }
    checkpoint.values = Object.fromEntries(own)
    checkpoint.writes = writes.get(nameOf(threadId, namespace, id))?.sort(byTask) ?? []
  }
  return found.sort(newestFirst)
}

/** Returns a name for a row. No text of a row has a NUL, so the name is unambiguous. */
function nameOf(...texts: unknown[]): string {
  return texts.join('\0')
}

function newestFirst(a: Checkpoint, b: Checkpoint): number {
  return compareBytes(b.id, a.id) || compareBytes(b.threadId, a.threadId) || compareBytes(b.namespace, a.namespace)
}

function byTask(a: CheckpointWrite, b: CheckpointWrite): number {
  return compareBytes(a.taskPath, b.taskPath) || compareBytes(a.taskId, b.taskId) || a.index - b.index
}

/** Compares as both databases do. JavaScript's `<` compares UTF-16, which differs. */
function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}
