import * as z from 'zod/mini'
import { blobStore, inMemoryBlobStore } from './blob-store-schema.ts'
import { cache, inMemoryCache } from './cache-schema.ts'
import { database, inMemoryDatabase } from './database-schema.ts'
import { age, described, optional, parsedOnce, rejectFields, runAlways, section, withDefault } from './fields.ts'

const retention = z.strictObject({
  messages: withDefault(
    age,
    'never',
    'Age at which a message is removed, oldest first, such as 30d or 12h, or never. Default never.',
  ),
  sessions: section(
    {
      idle: withDefault(
        age,
        'never',
        'A session that was not active for this time is removed with its messages, or never. Default never.',
      ),
    },
    'How long sessions are kept.',
  ),
  events: withDefault(age, 'never', 'Age at which an event is removed, or never. Default never.'),
  toolExecutions: withDefault(
    age,
    'never',
    'The record of a tool execution is removed this long after its end, or never. Default never.',
  ),
  abandonedExecutions: withDefault(
    age,
    '7d',
    'A tool execution that has been running for so long counts as left behind by a crash, or never. Default 7d.',
  ),
  approvals: withDefault(age, 'never', 'An approval is removed this long after its response, or never. Default never.'),
  memories: withDefault(
    age,
    'never',
    'A memory that is not pinned is removed this long after its last change, or never. Default never.',
  ),
  kv: withDefault(
    z.literal('never', {
      error: 'expected "never": an entry has a time of its own, the option ttlSeconds of kv.set()',
    }),
    'never',
    'Always never: an entry has a time of its own, the option ttlSeconds of kv.set().',
  ),
})

/** The fields of the retention. */
export const RETENTION_FIELDS = Object.keys(retention.shape)

const inMemory = { type: 'in-memory' } as const
const filledIn = <T>(layer: z.ZodMiniType<T>): T => layer.parse(inMemory, parsedOnce)

/** The content of a `storage:` section. A layer that is left out is in memory. Every default is filled in. */
export const storageSchema = z.pipe(
  z
    .strictObject({
      cache: optional(cache, 'Keeps copies of rows in front of the database. Default: in memory.', inMemory),
      database: optional(database, 'Keeps everything but the bytes of blobs. Default: in memory.', inMemory),
      blobStore: optional(blobStore, 'Keeps the bytes of blobs. Default: in memory.'),
      blob: optional(blobStore, 'Another name for blobStore.'),
      retention: optional(
        retention,
        'How long rows are kept before maintenance removes them. Default: everything is kept.',
      ),
    })
    .check(
      z.superRefine(({ cache, database, blobStore, blob }, ctx) => {
        if (cache?.type === 'in-memory' && database?.type !== 'postgres') {
          const message =
            'needs a database of type postgres: an in-memory cache sees every write of any other; remove it'
          rejectFields(ctx, { 'cache.options.invalidation': cache.options?.invalidation }, message)
        }
        for (const [name, store] of Object.entries({ blobStore, blob })) {
          if (store?.type !== 's3' || (database !== undefined && database.type !== 'in-memory')) continue
          const message = 'needs a database of type sqlite or postgres, which keeps the records of the blobs'
          rejectFields(ctx, { [`${name}.type`]: store.type }, message)
        }
        if (blobStore !== undefined) rejectFields(ctx, { blob }, 'is another name for blobStore; remove one of the two')
      }, runAlways),
    ),
  z.transform(({ cache, database, blobStore, blob, retention }) => ({
    cache: cache ?? filledIn(inMemoryCache),
    database: database ?? filledIn(inMemoryDatabase),
    blobStore: blobStore ?? blob ?? filledIn(inMemoryBlobStore),
    ...(retention && { retention }),
  })),
)

/** A `storage:` section under its key, as in a file. */
export const rootSchema = z.strictObject({
  storage: described(z.nullish(storageSchema), 'How the agent stores its data. Default: everything in memory.'),
})
