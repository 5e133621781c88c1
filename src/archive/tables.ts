import { type BulkTable, bulkTable } from '../database/bulk/table.ts'
import type { DialectKit } from '../database/db.ts'
import type { Tables } from '../schema/tables.ts'

type TableName = keyof Tables

/** The tables of an archive. A table comes after those that its foreign keys refer to. */
export const ARCHIVED = [
  'sessions',
  'messages',
  'sessionOperations',
  'kv',
  'lists',
  'listItems',
  'memories',
  'memoryTags',
  'events',
  'queues',
  'queueItems',
  'prompts',
  'workspaces',
  'toolState',
  'toolExecutions',
  'approvals',
  'approvalStates',
  'allowedTools',
  'toolPreferences',
  'checkpoints',
  'checkpointValues',
  'checkpointWrites',
  'blobContent',
  'blobs',
  'blobRefs',
] as const satisfies TableName[]

export type ArchivedTable = (typeof ARCHIVED)[number]

/** The tables that are not archived, each with the reason. */
export const DERIVED: Record<Exclude<TableName, ArchivedTable>, string> = {
  properties: 'says what this database is, such as its id and its blob store',
  maintenanceLeases: 'says which instance works at the moment',
  blobLeases: 'says which puts are under way',
  blobRemovals: 'says which bytes are about to be removed',
  blobChunks: 'has the bytes of contents, which are files of an archive',
  blobUsage: 'counts what is stored, so an import counts itself',
  messageSearch: 'is built from the messages by the backfill',
  memorySearch: 'is built from the memories by the backfill',
  messageEmbeddings: 'is made of the messages by the model, whose vectors nobody else can use',
  memoryEmbeddings: 'is made of the memories by the model, as those of the messages',
}

/** Columns that say where a store has something. They are not archived: each store has its own places. */
const PLACES: Partial<Record<ArchivedTable, readonly string[]>> = { blobContent: ['generation'] }

/** Describes a table as archives have it. */
export function archivedTable(kit: DialectKit, name: ArchivedTable): BulkTable {
  const table = bulkTable(kit, name)
  const left = PLACES[name]
  return left ? { ...table, columns: table.columns.filter((column) => !left.includes(column.name)) } : table
}

/** The tables that are in the database of the records, if the blobs have one of their own. */
export const OF_BLOBS: readonly ArchivedTable[] = ['blobContent', 'blobs']

/**
 * The table that the rows of a table belong to, with the columns that name its primary key. A row with a null there belongs
 * to none.
 */
export const PARENTS: Partial<Record<ArchivedTable, { table: ArchivedTable; columns: readonly string[] }>> = {
  messages: { table: 'sessions', columns: ['sessionId', 'ownerId'] },
  sessionOperations: { table: 'sessions', columns: ['sessionId', 'ownerId'] },
  kv: { table: 'sessions', columns: ['sessionId', 'ownerId'] },
  lists: { table: 'sessions', columns: ['sessionId', 'ownerId'] },
  listItems: { table: 'lists', columns: ['ownerId', 'key'] },
  memoryTags: { table: 'memories', columns: ['memoryId'] },
  queueItems: { table: 'queues', columns: ['sessionId', 'ownerId', 'queue'] },
  blobs: { table: 'blobContent', columns: ['hash'] },
  blobRefs: { table: 'blobs', columns: ['blobId'] },
}
