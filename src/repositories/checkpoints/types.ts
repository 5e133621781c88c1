import * as z from 'zod/mini'
import { type PageOptions, pageSchema } from '../../database/paging/page.ts'
import type { Given, JsonObject } from '../../schema/values.ts'
import { fastCheck, rule, withFastCheck } from '../../validation/fast-path.ts'
import { idSchema, isInteger, isStorable, MAX_INTEGER, textSchema } from '../../validation/input.ts'
import { jsonObjectSchema } from '../../validation/json.ts'

const MAX_NAMESPACE_BYTES = 1024
const MAX_CHANNELS = 1000
const MAX_WRITES = 1000

/** Bytes, with a label that tells the program how to read them. */
export interface TypedBytes {
  /** 1 to 255 bytes, such as 'json'. */
  type: string
  data: Uint8Array
}

/** Names a thread, or the part of a thread that a nested run has for itself. */
export interface CheckpointThread {
  /** 1 to 255 bytes. */
  threadId: string
  /** Tells nested runs of a thread apart. Up to 1024 bytes. Default: the empty text, the outermost run. */
  namespace?: string | undefined
}

/** Names a checkpoint. */
export interface CheckpointKey extends CheckpointThread {
  /** 1 to 255 bytes. */
  id: string
}

/** A write of a task that ran after a checkpoint: part of the next checkpoint, if the run gets there. */
export interface CheckpointWrite extends TypedBytes {
  taskId: string
  /** The place of the task in the run, as the program has given it. */
  taskPath: string
  /** The position among the writes of the task. Negative: a note about the task, which a newer one replaces. */
  index: number
  channel: string
}

/** A snapshot of a run. */
export interface Checkpoint<Metadata extends object = JsonObject> extends TypedBytes {
  threadId: string
  namespace: string
  id: string
  /** The checkpoint that it follows. Null for the first one. */
  parentId: string | null
  metadata: Metadata
  /** The version of each channel. */
  versions: Record<string, string>
  /** The value of each channel at its version. A channel without a stored value is absent. */
  values: Record<string, TypedBytes>
  /** In the byte order of their task's path and id, then by index. */
  writes: CheckpointWrite[]
  createdAt: Date
}

/** A checkpoint to store. */
export interface CheckpointInput<Metadata extends object = JsonObject> extends CheckpointThread, TypedBytes {
  /**
   * The newest checkpoint of a thread is the one with the greatest id in byte order. 1 to 255 bytes. Default: a UUID that
   * sorts by time.
   */
  id?: string | undefined
  /** The checkpoint that this one follows. Need not exist. Default null. */
  parentId?: string | null | undefined
  /** A JSON object. A list can be filtered by its properties. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
  /** The version of each of up to 1000 channels. Channels take 1 to 255 bytes, versions 1 to 64. Default `{}`. */
  versions?: Record<string, string> | undefined
  /**
   * The values that are new at their version, by channel. What an earlier checkpoint has stored is not repeated. Default
   * `{}`.
   */
  values?: Record<string, TypedBytes> | undefined
  /** How many parents, one after the other, one needs to read this checkpoint. `prune` keeps them. Default 0. */
  ancestors?: number | undefined
}

/** A write to store. */
export interface CheckpointWriteInput extends TypedBytes {
  /** 1 to 255 bytes. */
  channel: string
  /** A 32-bit integer. Default: the position in the list. */
  index?: number | undefined
}

/** Whose writes are stored. */
export interface CheckpointTask extends CheckpointKey {
  /** 1 to 255 bytes. */
  taskId: string
  /** Up to 10,000 characters. Writes are read in the byte order of this path. Default: the empty text. */
  taskPath?: string | undefined
}

export interface ListCheckpointsOptions<Metadata extends object = JsonObject> extends PageOptions {
  /** Only checkpoints of this thread. Default: of all threads. */
  threadId?: string | undefined
  /** Only checkpoints of this namespace. Default: of all namespaces. */
  namespace?: string | undefined
  /** Only checkpoints with this id. */
  id?: string | undefined
  /** Only checkpoints with a smaller id. */
  before?: string | undefined
  /** Only checkpoints whose metadata has these properties, each with an equal value. */
  metadata?: Partial<Metadata> | undefined
}

export interface PruneCheckpointsOptions {
  /** How many of the newest checkpoints of each namespace stay: 1 or more. */
  keepLast: number
}

const namespaceSchema = rule<string>(
  (text) => typeof text === 'string' && isStorable(text) && Buffer.byteLength(text) <= MAX_NAMESPACE_BYTES,
  `must be text of at most ${MAX_NAMESPACE_BYTES} bytes, well-formed and without NUL`,
)
const versionTextSchema = textSchema({ min: 1, max: 64 })
const bytesSchema = rule<Uint8Array>(
  (value) => Object.prototype.toString.call(value) === '[object Uint8Array]', // of any realm
  'must be a Uint8Array',
)
const channelSchema = idSchema

const typedBytesSchema = z.strictObject({ type: idSchema, data: bytesSchema })

/** Makes a schema of up to 1000 properties by channel. */
function byChannel<T>(valueSchema: z.ZodMiniType<T>) {
  const isObvious = (value: unknown) => {
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return false
    const entries = Object.entries(value)
    if (entries.length > MAX_CHANNELS) return false
    return entries.every(
      ([channel, item]) =>
        fastCheck(channelSchema, channel) !== undefined && fastCheck(valueSchema, item) !== undefined,
    )
  }
  const message = `must have at most ${MAX_CHANNELS} channels`
  const schema = z
    .record(channelSchema, valueSchema)
    .check(z.refine((channels) => Object.keys(channels).length <= MAX_CHANNELS, message))
  return withFastCheck(isObvious, schema)
}

const thread = { threadId: idSchema, namespace: z.optional(namespaceSchema) }

export const threadSchema = z.strictObject(thread)

export const keySchema = z.strictObject({ ...thread, id: idSchema })

export const inputSchema = z.strictObject({
  ...thread,
  id: z.optional(idSchema),
  parentId: z.optional(z.nullable(idSchema)),
  metadata: z.optional(jsonObjectSchema),
  versions: z.optional(byChannel(versionTextSchema)),
  values: z.optional(byChannel(typedBytesSchema)),
  ancestors: z.optional(rule<number>(isInteger(0, MAX_INTEGER), 'must be an integer of at least 0')),
  type: idSchema,
  data: bytesSchema,
})

export const taskSchema = z.strictObject({
  ...thread,
  id: idSchema,
  taskId: idSchema,
  taskPath: z.optional(textSchema({ max: 10_000 })),
})

const writeSchema = z.strictObject({
  channel: channelSchema,
  index: z.optional(rule<number>(isInteger(-MAX_INTEGER, MAX_INTEGER), 'must be a 32-bit integer')),
  type: idSchema,
  data: bytesSchema,
})

export const writesSchema = withFastCheck(
  (value) =>
    Array.isArray(value) &&
    value.length <= MAX_WRITES &&
    value.every((write) => fastCheck(writeSchema, write) !== undefined),
  z.array(writeSchema).check(z.maxLength(MAX_WRITES)),
)

export const listOptionsSchema = z.extend(pageSchema, {
  threadId: z.optional(idSchema),
  namespace: z.optional(namespaceSchema),
  id: z.optional(idSchema),
  before: z.optional(idSchema),
  metadata: z.optional(jsonObjectSchema),
})

export const pruneOptionsSchema = z.strictObject({
  keepLast: rule<number>(isInteger(1, MAX_INTEGER), 'must be an integer of at least 1'),
})
