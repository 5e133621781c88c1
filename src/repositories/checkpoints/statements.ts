import { and, count, eq, type SQL, sql } from 'drizzle-orm'
import { textEntries } from '../../database/json-entries.ts'
import { ownerOfNames } from '../../database/owner.ts'
import { type Builder, rowsStatement, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import type { TypedBytes } from './types.ts'

interface ThreadKey {
  threadId: string
}

export interface CheckpointRow extends ThreadKey, TypedBytes {
  namespace: string
  id: string
  parentId: string | null
  metadata: JsonObject
  versions: Record<string, string>
  ancestors: number
  createdAt: Date
}

export interface ValueRow extends ThreadKey, TypedBytes {
  namespace: string
  channel: string
  version: string
}

export interface WriteRow extends ThreadKey, TypedBytes {
  namespace: string
  checkpointId: string
  taskId: string
  index: number
  taskPath: string
  channel: string
}

export const upsertCheckpoint = statement((db, row: CheckpointRow) => {
  const { checkpoints: c } = db.tables
  const { parentId, metadata, versions, ancestors, createdAt, type, data } = row
  const set = { parentId, metadata, versions, ancestors, createdAt, type, data }
  const key = { ownerId: ownerOfNames(db), threadId: row.threadId, namespace: row.namespace, id: row.id }
  return db.orm
    .insert(c)
    .values({ ...key, ...set })
    .onConflictDoUpdate({ target: [c.ownerId, c.threadId, c.namespace, c.id], set })
})

/** A value that is stored already stays. If it is another one, the column becomes null, and the whole batch fails. */
export const insertValues = rowsStatement((db, rows: ValueRow[]) => {
  const { checkpointValues: v } = db.tables
  return db.orm
    .insert(v)
    .values(
      rows.map(({ threadId, namespace, channel, version, type, data }) => ({
        ownerId: ownerOfNames(db),
        ...{ threadId, namespace, channel, version, type, data },
      })),
    )
    .onConflictDoUpdate({
      target: [v.ownerId, v.threadId, v.namespace, v.channel, v.version],
      set: {
        data: sql`case when ${v.type} = excluded.type and ${v.data} = excluded.data then ${v.data} end`,
      },
    })
})

/** A write that is stored already stays, unless it is a note. */
export const insertWrites = rowsStatement((db, rows: WriteRow[]) => {
  const { checkpointWrites: w } = db.tables
  return db.orm
    .insert(w)
    .values(
      rows.map(({ threadId, namespace, checkpointId, taskId, index, taskPath, channel, type, data }) => ({
        ownerId: ownerOfNames(db),
        ...{ threadId, namespace, checkpointId, taskId, index, taskPath, channel, type, data },
      })),
    )
    .onConflictDoUpdate({
      target: [w.ownerId, w.threadId, w.namespace, w.checkpointId, w.taskId, w.index],
      set: {
        taskPath: sql`excluded.task_path`,
        channel: sql`excluded.channel`,
        type: sql`excluded.type`,
        data: sql`excluded.data`,
      },
      setWhere: sql`${w.index} < 0`,
    })
})

export const hasCheckpoints = statement((db, arg: ThreadKey) => {
  const { checkpoints: c } = db.tables
  return db.orm
    .select({ id: c.id })
    .from(c)
    .where(ofThread(db, 'checkpoints', arg))
    .limit(1)
})

/** Removes all rows of a thread, with one statement for each table. */
export const deleteOfThread = (['checkpoints', 'checkpointValues', 'checkpointWrites'] as const).map((name) =>
  statement((db, arg: ThreadKey) => db.orm.delete(db.tables[name]).where(ofThread(db, name, arg))),
)

/**
 * Removes all rows of a thread with one statement, and returns the ids of its checkpoints. On PostgreSQL each statement sees a
 * later moment: another one could remove the values of a checkpoint that was stored after the first. SQLite has no such
 * statement.
 */
export const deleteThreadAtOnce = statement((db, arg: ThreadKey) => {
  const { checkpoints: c } = db.tables
  const others = (['checkpointValues', 'checkpointWrites'] as const).map((name) => {
    const table = db.tables[name]
    const removed = db.orm
      .delete(table)
      .where(ofThread(db, name, arg))
      .returning({ threadId: table.threadId })
    return db.orm.$with(name).as(removed)
  })
  return db.orm
    .with(...others)
    .delete(c)
    .where(ofThread(db, 'checkpoints', arg))
    .returning({ id: c.id })
})

/**
 * Removes all checkpoints of a thread but the newest of each namespace, and the ancestors that one needs to read those. A
 * checkpoint that is kept once needs no ancestors of its own: it is there to be read with what follows it.
 */
export const deleteOldCheckpoints = statement((db, arg: ThreadKey & { keepLast: number }) => {
  const { checkpoints: c } = db.tables
  const isOfThread = ofThread(db, 'checkpoints', arg)
  const kept = sql`(
    with recursive ranked as (select ${c.namespace}, ${c.id}, ${c.parentId}, ${c.ancestors},
        row_number() over (partition by ${c.namespace} order by ${c.id} desc) as place
      from ${c} where ${isOfThread}),
    kept as (select namespace, id, parent_id, ancestors from ranked where place <= cast(${arg.keepLast} as integer)
      union select ${c.namespace}, ${c.id}, ${c.parentId}, kept.ancestors - 1
      from kept cross join ${c} where kept.ancestors > 0 and ${isOfThread}
      and ${c.namespace} = kept.namespace and ${c.id} = kept.parent_id)
    select namespace, id from kept)`
  return db.orm
    .delete(c)
    .where(and(isOfThread, sql`(${c.namespace}, ${c.id}) not in ${kept}`))
    .returning({ id: c.id })
})

/** Removes the values of a thread that no checkpoint has. */
export const deleteUnusedValues = statement((db, arg: ThreadKey) =>
  db.orm.delete(db.tables.checkpointValues).where(isUnused(db, arg)),
)

/** Locks the values that `deleteUnusedValues` would remove; see `lockValues`. */
export const lockUnusedValues = statement((db, arg: ThreadKey) => locked(db, isUnused(db, arg)))

/**
 * Locks the values of a thread, for PostgreSQL. A put that stores a value again has locked it until its checkpoint is there. A
 * deletion that waits for it would remove the value, and not see the checkpoint: it sees the moment at which it began.
 */
export const lockValues = statement((db, arg: ThreadKey) => locked(db, ofThread(db, 'checkpointValues', arg)))

function locked(db: Builder, condition: SQL | undefined) {
  const { checkpointValues: v } = db.tables
  // In the order of puts.
  const rows = db.orm.select({ version: v.version }).from(v).where(condition).orderBy(v.namespace, v.channel, v.version)
  return db.orm.select({ rows: count() }).from(rows.for('update').as('locked'))
}

function isUnused(db: Builder, arg: ThreadKey): SQL | undefined {
  const { checkpoints: c, checkpointValues: v } = db.tables
  const used = sql`(select ${c.namespace}, e.key, e.value from ${c} cross join ${textEntries(db, c.versions)} e
    where ${ofThread(db, 'checkpoints', arg)})`
  return and(ofThread(db, 'checkpointValues', arg), sql`(${v.namespace}, ${v.channel}, ${v.version}) not in ${used}`)
}

/** Removes the writes of the checkpoints that are gone. Writes may be there before their checkpoint, which is then the newest. */
export const deleteUnusedWrites = statement((db, arg: ThreadKey) => {
  const { checkpoints: c, checkpointWrites: w } = db.tables
  const isOfThread = ofThread(db, 'checkpoints', arg)
  return db.orm
    .delete(w)
    .where(
      and(
        ofThread(db, 'checkpointWrites', arg),
        sql`(${w.namespace}, ${w.checkpointId}) not in (select ${c.namespace}, ${c.id} from ${c} where ${isOfThread})`,
        sql`${w.checkpointId} < (select max(${c.id}) from ${c} where ${isOfThread} and ${c.namespace} = ${w.namespace})`,
      ),
    )
})

type CheckpointTable = 'checkpoints' | 'checkpointValues' | 'checkpointWrites'

function ofThread(db: Builder, name: CheckpointTable, { threadId }: ThreadKey) {
  const table = db.tables[name]
  return and(eq(table.ownerId, ownerOfNames(db)), eq(table.threadId, threadId))
}
