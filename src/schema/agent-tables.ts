import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Columns } from './columns.ts'
import { hasOwner } from './has-owner.ts'
import type {
  ApprovalDecision,
  Json,
  JsonObject,
  MemorySource,
  QueueItem,
  ToolExecutionStatus,
  ToolPreferenceSet,
} from './values.ts'

/**
 * Defines the tables for what an agent keeps beside its conversations. Their `sessionId` has no foreign key: an event, a
 * queued item or an approval may be written before its session, so `sessions.delete` removes them explicitly. In a primary
 * key, which allows no null, the empty string stands for the scope "all sessions".
 */
export function defineAgentTables(c: Columns) {
  const memories = c.table(
    'memories',
    {
      id: c.text('id').primaryKey(),
      ownerId: c.owner(),
      content: c.text('content').notNull(),
      source: c.text('source').$type<MemorySource>(),
      pinned: c.boolean('pinned').notNull(),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      createdAt: c.instant('created_at').notNull(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [
      c.index('memories_created').on(t.createdAt, t.id),
      c.index('memories_source').on(t.source, t.createdAt, t.id),
      c.index('memories_pinned').on(t.pinned, t.createdAt, t.id),
      c.index('memories_owner_created').on(t.ownerId, t.createdAt, t.id).where(hasOwner(t)),
      c.index('memories_owner_source').on(t.ownerId, t.source, t.createdAt, t.id).where(hasOwner(t)),
      c.index('memories_owner_pinned').on(t.ownerId, t.pinned, t.createdAt, t.id).where(hasOwner(t)),
    ],
  )

  /**
   * One row per tag, so that two writers never lose a tag. createdAt and ownerId are copied from the memory: the newest
   * memories of a tag are then one index range.
   */
  const memoryTags = c.table(
    'memory_tags',
    {
      memoryId: c.text('memory_id').notNull(),
      ownerId: c.owner(),
      tag: c.text('tag').notNull(),
      position: c.integer('position').notNull(),
      createdAt: c.instant('created_at').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.memoryId, t.tag] }),
      c.index('memory_tags_tag').on(t.tag, t.createdAt, t.memoryId),
      c.index('memory_tags_owner_tag').on(t.ownerId, t.tag, t.createdAt, t.memoryId).where(hasOwner(t)),
      c.foreignKey({ columns: [t.memoryId], foreignColumns: [memories.id] }).onDelete('cascade'),
    ],
  )

  const events = c.table(
    'events',
    {
      seq: c.sequence('seq'),
      id: c.text('id').notNull(),
      ownerId: c.owner(),
      type: c.text('type').notNull(),
      sessionId: c.text('session_id'),
      runId: c.text('run_id'),
      payload: c.json('payload').$type<Json>(),
      occurredAt: c.instant('occurred_at').notNull(),
    },
    (t) => [
      c.uniqueIndex('events_id').on(t.id, t.ownerId),
      c.index('events_session').on(t.sessionId, t.seq),
      c.index('events_run').on(t.runId, t.seq),
      c.index('events_type').on(t.type, t.seq),
      c.index('events_occurred').on(t.occurredAt),
      c.index('events_owner').on(t.ownerId, t.seq).where(hasOwner(t)),
      c.index('events_owner_session').on(t.ownerId, t.sessionId, t.seq).where(hasOwner(t)),
      c.index('events_owner_run').on(t.ownerId, t.runId, t.seq).where(hasOwner(t)),
      c.index('events_owner_type').on(t.ownerId, t.type, t.seq).where(hasOwner(t)),
    ],
  )

  /**
   * The last position of each queue, and how many positions up to it hold no item (`gaps`), so that the last item's place
   * is their difference. Writers lock this row, so that positions follow the order of commits.
   */
  const queues = c.table(
    'queues',
    {
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      name: c.text('name').notNull(),
      lastPosition: c.integer('last_position').notNull(),
      gaps: c.integer('gaps').notNull().default(0),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.name] }),
      c.index('queues_owner').on(t.ownerId, t.sessionId, t.name).where(hasOwner(t)),
    ],
  )

  /** An item with `leasedUntil` is leased until then. It stays at its position until its taker acknowledges it. */
  const queueItems = c.table(
    'queue_items',
    {
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      queue: c.text('queue').notNull(),
      position: c.integer('position').notNull(),
      id: c.text('id').notNull(),
      item: c.json('item').$type<QueueItem>().notNull(),
      lease: c.text('lease'),
      leasedUntil: c.instant('leased_until'),
      attempts: c.integer('attempts').notNull().default(0),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.queue, t.position] }),
      c.uniqueIndex('queue_items_id').on(t.sessionId, t.ownerId, t.queue, t.id),
      c
        .foreignKey({
          name: 'queue_items_queue_fk',
          columns: [t.sessionId, t.ownerId, t.queue],
          foreignColumns: [queues.sessionId, queues.ownerId, queues.name],
        })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  const prompts = c.table(
    'prompts',
    {
      ownerId: c.owner(),
      name: c.text('name').notNull(),
      content: c.json('content').$type<Json>(),
      description: c.text('description'),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      version: c.integer('version').notNull(),
      createdAt: c.instant('created_at').notNull(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.name] })],
  )

  const workspaces = c.table(
    'workspaces',
    {
      ownerId: c.owner(),
      id: c.text('id').notNull(),
      path: c.text('path').notNull(),
      name: c.text('name'),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      isCurrent: c.boolean('is_current').notNull(),
      createdAt: c.instant('created_at').notNull(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.ownerId, t.id] }),
      c.uniqueIndex('workspaces_path').on(t.ownerId, t.path),
      c.uniqueIndex('workspaces_current').on(t.ownerId).where(sql`${t.isCurrent}`),
      c.index('workspaces_created').on(t.ownerId, t.createdAt, t.id),
    ],
  )

  const toolState = c.table(
    'tool_state',
    {
      ownerId: c.owner(),
      tool: c.text('tool').notNull(),
      key: c.text('key').notNull(),
      value: c.json('value').$type<Json>(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.tool, t.key] })],
  )

  const toolExecutions = c.table(
    'tool_executions',
    {
      id: c.text('id').notNull(),
      ownerId: c.owner(),
      runId: c.text('run_id').notNull(),
      turnId: c.text('turn_id').notNull(),
      modelStepId: c.text('model_step_id').notNull(),
      toolCallId: c.text('tool_call_id').notNull(),
      toolName: c.text('tool_name').notNull(),
      input: c.json('input').$type<Json>(),
      status: c.text('status').$type<ToolExecutionStatus>().notNull(),
      output: c.json('output').$type<Json>(),
      error: c.json('error').$type<Json>(),
      startedAt: c.instant('started_at').notNull(),
      finishedAt: c.instant('finished_at'),
    },
    (t) => [
      c.primaryKey({ columns: [t.id, t.ownerId] }),
      c.index('tool_executions_started').on(t.startedAt, t.id, t.ownerId),
      c.index('tool_executions_running').on(t.startedAt, t.id, t.ownerId).where(sql`${t.status} = 'running'`),
      c.index('tool_executions_run').on(t.runId, t.startedAt, t.id, t.ownerId),
      c.index('tool_executions_owner').on(t.ownerId, t.startedAt, t.id).where(hasOwner(t)),
    ],
  )

  const approvals = c.table(
    'approvals',
    {
      id: c.text('id').notNull(),
      ownerId: c.owner(),
      sessionId: c.text('session_id'),
      type: c.text('type').notNull(),
      request: c.json('request').$type<Json>(),
      createdAt: c.instant('created_at').notNull(),
      decision: c.text('decision').$type<ApprovalDecision>(),
      response: c.json('response').$type<Json>(),
      respondedAt: c.instant('responded_at'),
    },
    (t) => [
      c.primaryKey({ columns: [t.id, t.ownerId] }),
      c.index('approvals_pending').on(t.sessionId, t.createdAt, t.id, t.ownerId).where(isPending(t)),
      c.index('approvals_all_pending').on(t.createdAt, t.id, t.ownerId).where(isPending(t)),
      c
        .index('approvals_owner_pending')
        .on(t.ownerId, t.createdAt, t.id)
        .where(sql`${isPending(t)} and ${hasOwner(t)}`),
      c.index('approvals_session').on(t.sessionId, t.createdAt, t.id, t.ownerId),
      c.index('approvals_created').on(t.createdAt, t.id, t.ownerId),
      c.index('approvals_owner_created').on(t.ownerId, t.createdAt, t.id).where(hasOwner(t)),
    ],
  )

  const approvalStates = c.table(
    'approval_states',
    {
      ownerId: c.owner(),
      scope: c.text('scope').notNull(),
      state: c.json('state').$type<Json>(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.scope] })],
  )

  /** One row per allowed tool, so that concurrent `allow` calls do not overwrite each other. */
  const allowedTools = c.table(
    'allowed_tools',
    {
      ownerId: c.owner(),
      scope: c.text('scope').notNull(),
      tool: c.text('tool').notNull(),
      createdAt: c.instant('created_at').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.scope, t.tool] })],
  )

  const toolPreferences = c.table(
    'tool_preferences',
    {
      ownerId: c.owner(),
      scope: c.text('scope').notNull(),
      preferences: c.json('preferences').$type<ToolPreferenceSet>().notNull(),
      updatedAt: c.instant('updated_at').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.scope] })],
  )

  return {
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
  }
}

export type AgentTables = ReturnType<typeof defineAgentTables>

function isPending({ respondedAt }: { respondedAt: SQLWrapper }): SQL {
  return sql`${respondedAt} is null`
}
