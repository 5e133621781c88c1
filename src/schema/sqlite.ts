import type { PgColumn, PgTableWithColumns, TableConfig } from 'drizzle-orm/pg-core'
import type { SQLiteColumn, SQLiteTableWithColumns } from 'drizzle-orm/sqlite-core'
import type { Columns } from './columns.ts'
import { sqliteColumns } from './sqlite-columns.ts'
import { defineSchema, type Tables } from './tables.ts'

/** The SQLite table with the same definition as a PostgreSQL table: same names, data and nullability. */
type SQLiteTwin<T> =
  T extends PgTableWithColumns<infer Config extends TableConfig>
    ? SQLiteTableWithColumns<{
        name: Config['name']
        schema: undefined
        dialect: 'sqlite'
        columns: {
          [K in keyof Config['columns']]: Config['columns'][K] extends PgColumn<infer C> ? SQLiteColumn<C> : never
        }
      }>
    : never

// The dialect seam: the definition has PostgreSQL's types and is called with SQLite's vocabulary, hence the casts. The schema
// tests compare both instances table by table.
const tables = defineSchema(sqliteColumns as unknown as Columns) as unknown as {
  [K in keyof Tables]: SQLiteTwin<Tables[K]>
}

/** The tables in SQLite, for drizzle-kit and for joins with your own tables. */
export const {
  properties,
  sessions,
  messages,
  sessionOperations,
  kv,
  lists,
  listItems,
  memories,
  memoryTags,
  events,
  queues,
  queueItems,
  prompts,
  workspaces,
  toolState,
  toolExecutions,
  approvals,
  approvalStates,
  allowedTools,
  toolPreferences,
  checkpoints,
  checkpointValues,
  checkpointWrites,
  blobContent,
  blobRemovals,
  blobChunks,
  blobLeases,
  blobs,
  blobRefs,
  blobUsage,
  maintenanceLeases,
  messageSearch,
  memorySearch,
  messageEmbeddings,
  memoryEmbeddings,
} = tables
