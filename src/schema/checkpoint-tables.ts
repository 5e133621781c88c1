import type { Columns } from './columns.ts'
import type { JsonObject } from './values.ts'

/**
 * Defines the tables for the checkpoints of runs. Values and writes have no foreign key: a run may write while its checkpoint
 * is still on its way, and a value belongs to every checkpoint that has its version.
 */
export function defineCheckpointTables(c: Columns) {
  /** `versions` says by channel which value the checkpoint has. `ancestors` is how many parents one needs to read it. */
  const checkpoints = c.table(
    'checkpoints',
    {
      ownerId: c.owner(),
      threadId: c.text('thread_id').notNull(),
      namespace: c.text('namespace').notNull(),
      id: c.text('id').notNull(),
      parentId: c.text('parent_id'),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      versions: c.json('versions').$type<Record<string, string>>().notNull(),
      ancestors: c.integer('ancestors').notNull(),
      createdAt: c.instant('created_at').notNull(),
      type: c.text('type').notNull(),
      data: c.bytes('data').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.ownerId, t.threadId, t.namespace, t.id] })],
  )

  /** The value of a channel at a version, stored once for all checkpoints that have it. */
  const checkpointValues = c.table(
    'checkpoint_values',
    {
      ownerId: c.owner(),
      threadId: c.text('thread_id').notNull(),
      namespace: c.text('namespace').notNull(),
      channel: c.text('channel').notNull(),
      version: c.text('version').notNull(),
      type: c.text('type').notNull(),
      data: c.bytes('data').notNull(),
    },
    (t) => [
      c.primaryKey({
        name: 'checkpoint_values_pk',
        columns: [t.ownerId, t.threadId, t.namespace, t.channel, t.version],
      }),
    ],
  )

  /** What the tasks after a checkpoint have written so far. */
  const checkpointWrites = c.table(
    'checkpoint_writes',
    {
      ownerId: c.owner(),
      threadId: c.text('thread_id').notNull(),
      namespace: c.text('namespace').notNull(),
      checkpointId: c.text('checkpoint_id').notNull(),
      taskId: c.text('task_id').notNull(),
      index: c.integer('index').notNull(),
      taskPath: c.text('task_path').notNull(),
      channel: c.text('channel').notNull(),
      type: c.text('type').notNull(),
      data: c.bytes('data').notNull(),
    },
    (t) => [
      c.primaryKey({
        name: 'checkpoint_writes_pk',
        columns: [t.ownerId, t.threadId, t.namespace, t.checkpointId, t.taskId, t.index],
      }),
    ],
  )

  return { checkpoints, checkpointValues, checkpointWrites }
}
