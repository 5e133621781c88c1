import { and, count, eq, gte, isNotNull, isNull, lte, not, or, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { keyset } from '../../database/paging/keyset.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import { EARLIEST } from '../../validation/instants.ts'
import { hasPending, hasRow, hasRunning, isRunAwaited, isRunning } from './in-use.ts'
import type { Rule, RuleContext } from './rule.ts'

/** A table whose rows go by their age. */
interface AgedTable {
  name: string
  table: (tables: Tables) => PgTable
  /** The columns of the index that the walk follows: the time of the row, and what makes it unique. */
  columns: (tables: Tables) => readonly [time: PgColumn, ...key: PgColumn[]]
  /** The values of the key columns that come before all others. */
  first: readonly (string | number)[]
  /** The condition that a row may go, beside its time. */
  removable: (tables: Tables, times: Times) => SQL | undefined
}

type Times = { before: Date } & Pick<RuleContext, 'runningSince'>
/** A time and a key, by the names of the walk. */
type Range = Record<string, unknown> & Times

/** Walks a table from its oldest row to the first that is too young, and removes in ranges what may go. */
function agedRows({ name, table, columns, first, removable }: AgedTable): Rule {
  const names = ['time', ...first.map((_, i) => `key${i}`)]
  const list = (chunks: readonly unknown[]) =>
    sql.join(
      chunks.map((chunk) => sql`${chunk}`),
      sql`, `,
    )
  const placeholders = (arg: Record<string, unknown>, prefix: string) => names.map((each) => arg[prefix + each])
  const valuesOf = (prefix: string, values: readonly unknown[]) =>
    Object.fromEntries(names.map((each, i) => [prefix + each, values[i]]))

  const selectPage = statement((db, arg: Record<string, unknown> & { before: Date; limit: number }) => {
    const all = columns(db.tables)
    const { condition, orderBy } = keyset(db.dialect, {
      columns: all,
      order: 'asc',
      after: placeholders(arg, 'after '),
    })
    return db.orm
      .select(Object.fromEntries(all.map((column, i) => [names[i], column])) as Record<string, PgColumn>)
      .from(table(db.tables))
      .where(and(lte(all[0], arg.before), condition))
      .orderBy(...orderBy)
      .limit(arg.limit)
  })
  const isInRange = (db: Builder, arg: Range) => {
    const all = columns(db.tables)
    const { condition } = keyset(db.dialect, { columns: all, order: 'asc', after: placeholders(arg, 'after ') })
    const isUpToEnd = sql`(${list(all)}) <= (${list(placeholders(arg, 'through '))})`
    const isWithin = and(gte(all[0], arg['after time'] as Date), lte(all[0], arg['through time'] as Date))
    return and(isWithin, condition, isUpToEnd, removable(db.tables, arg))
  }
  const deleteRange = statement((db, arg: Range) =>
    db.orm
      .delete(table(db.tables))
      .where(isInRange(db, arg))
      .returning({ time: columns(db.tables)[0] }),
  )
  const countRange = statement((db, arg: Range) =>
    db.orm.select({ rows: count() }).from(table(db.tables)).where(isInRange(db, arg)),
  )

  return async function* ({ db, pace, dryRun, runningSince }, before) {
    let after: readonly unknown[] = [EARLIEST, ...first]
    const removeRange = async (limit: number) => {
      const page = await selectPage.all(db, { ...valuesOf('after ', after), before, limit })
      const last = page.at(-1)
      if (last === undefined) return { rows: 0, isLast: true }
      const through = names.map((each) => (last as Record<string, unknown>)[each])
      const range = { ...valuesOf('after ', after), ...valuesOf('through ', through), before, runningSince }
      const rows = dryRun ? ((await countRange.first(db, range))?.rows ?? 0) : (await deleteRange.all(db, range)).length
      after = through
      return { rows, isLast: page.length < limit }
    }
    for (let isLast = false; !isLast; ) {
      const removed = await pace.step(() => removeRange(pace.rows))
      isLast = removed.isLast
      yield { table: name, rows: removed.rows }
    }
  }
}

/** Removes events. One stays while its session has a pending approval, or its run a running execution. */
export const agedEvents = agedRows({
  name: 'events',
  table: ({ events }) => events,
  columns: ({ events }) => [events.occurredAt, events.seq],
  first: [0],
  removable: (tables, { runningSince }) => {
    const { sessionId, runId, ownerId } = tables.events
    const isOfRunning = hasRunning(tables, { id: runId, ownerId }, runningSince)
    return and(not(hasPending(tables, { id: sessionId, ownerId })), not(isOfRunning))
  },
})

/**
 * Removes records of executions that have ended, or that a crash left behind long ago. One stays while another execution of
 * its run is running, or while an event of its run names a session with a pending approval: who resumes the run needs the
 * record.
 */
export const agedExecutions = agedRows({
  name: 'toolExecutions',
  table: ({ toolExecutions }) => toolExecutions,
  columns: ({ toolExecutions: e }) => [e.startedAt, e.id, e.ownerId],
  first: ['', ''],
  removable: (tables, { before, runningSince }) => {
    const { toolExecutions: e } = tables
    const isOfRun = sql`other.run_id = ${e.runId} and other.owner_id = ${e.ownerId}`
    const isOther = sql`${isOfRun} and ${isRunning(tables, runningSince, sql`other`)}`
    return and(
      or(lte(e.finishedAt, before), isNull(e.finishedAt)),
      not(isRunning(tables, runningSince)),
      not(hasRow(sql`${e} as other`, isOther)),
      not(isRunAwaited(tables, { id: e.runId, ownerId: e.ownerId })),
    )
  },
})

/** Removes approvals that have a response. One stays while its session has a pending approval or a running execution. */
export const agedApprovals = agedRows({
  name: 'approvals',
  table: ({ approvals }) => approvals,
  columns: ({ approvals: a }) => [a.createdAt, a.id, a.ownerId],
  first: ['', ''],
  removable: (tables, { before, runningSince }) => {
    const { approvals: a, events: v } = tables
    const isOther = sql`other.session_id = ${a.sessionId} and other.owner_id = ${a.ownerId} and other.responded_at is null`
    const isOfSession = sql`${v.sessionId} = ${a.sessionId} and ${v.ownerId} = ${a.ownerId}`
    return and(
      isNotNull(a.respondedAt),
      lte(a.respondedAt, before),
      not(hasRow(sql`${a} as other`, isOther)),
      not(hasRow(v, sql`${isOfSession} and ${hasRunning(tables, { id: v.runId, ownerId: v.ownerId }, runningSince)}`)),
    )
  },
})

/** Removes memories that are not pinned, by their last change. */
export const agedMemories = agedRows({
  name: 'memories',
  table: ({ memories }) => memories,
  columns: ({ memories: m }) => [m.createdAt, m.id],
  first: [''],
  removable: ({ memories: m }, { before }) => and(lte(m.updatedAt, before), eq(m.pinned, false)),
})
