import type { Observable } from '../observability/observed.ts'

/** What messages and slow calls say about each repository. A test compares the tables with the statements. */
export const OBSERVABLES = {
  sessions: { repository: 'sessions', tables: ['sessions'] },
  messages: {
    repository: 'messages',
    tables: ['messages', 'sessions'],
    batches: { append: 1, put: 1, replace: 1, delete: 1, getMany: 1, find: 0 },
  },
  kv: {
    repository: 'kv',
    tables: ['kv', 'sessions'],
    batches: { getMany: 0, setMany: 0, deleteMany: 0 },
    opens: ['namespace'],
  },
  lists: { repository: 'lists', tables: ['list_items', 'lists', 'sessions'], opens: ['ofSession'] },
  queues: { repository: 'queues', tables: ['queue_items', 'queues'], batches: { ack: 0, release: 0, extend: 0 } },
  memories: { repository: 'memories', tables: ['memories', 'memory_tags'] },
  events: { repository: 'events', tables: ['events'], batches: { append: 0 } },
  prompts: { repository: 'prompts', tables: ['prompts'] },
  workspaces: { repository: 'workspaces', tables: ['workspaces'] },
  toolState: { repository: 'toolState', tables: ['tool_state'] },
  toolExecutions: { repository: 'toolExecutions', tables: ['tool_executions'] },
  approvals: { repository: 'approvals', tables: ['approvals', 'approval_states'] },
  toolPreferences: { repository: 'toolPreferences', tables: ['tool_preferences', 'allowed_tools'] },
  checkpoints: {
    repository: 'checkpoints',
    tables: ['checkpoints', 'checkpoint_values', 'checkpoint_writes'],
    batches: { putWrites: 1 },
  },
} as const satisfies Record<string, Observable>

/** The same for what is no repository. */
export const BLOBS: Observable = { repository: 'blobs', tables: ['blobs', 'blob_content', 'blob_chunks'] }
export const USER_CACHE: Observable = { repository: 'cache', tables: [], batches: { getMany: 0 } }
export const TRANSACTION: Observable = { repository: 'transaction', tables: ['sessions'] }
export const STORAGE: Observable = { repository: 'storage', tables: [] }
