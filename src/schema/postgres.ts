import { pgColumns } from './columns.ts'
import { defineSchema } from './tables.ts'

/** The tables in PostgreSQL, for drizzle-kit and for joins with your own tables. */
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
  blobContent,
  blobLeases,
  blobs,
  blobRefs,
  blobUsage,
  maintenanceLeases,
} = defineSchema(pgColumns)
