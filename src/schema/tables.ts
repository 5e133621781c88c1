import { defineAgentTables } from './agent-tables.ts'
import { defineBlobTables } from './blob-tables.ts'
import { defineCheckpointTables } from './checkpoint-tables.ts'
import type { Columns } from './columns.ts'
import { defineConversationTables } from './conversation-tables.ts'
import { defineEmbeddingTables } from './embedding-tables.ts'
import { defineSearchTables } from './search-tables.ts'
import { defineSystemTables } from './system-tables.ts'

/** Defines every table once. Called with the vocabulary of each dialect; the types are those of PostgreSQL. */
export function defineSchema(c: Columns) {
  const conversation = defineConversationTables(c)
  const agent = defineAgentTables(c)
  return {
    ...defineSystemTables(c),
    ...conversation,
    ...agent,
    ...defineCheckpointTables(c),
    ...defineBlobTables(c, conversation),
    ...defineSearchTables(c, { ...conversation, ...agent }),
    ...defineEmbeddingTables(c, { ...conversation, ...agent }),
  }
}

export type Tables = ReturnType<typeof defineSchema>
