import * as z from 'zod/mini'
import { type Order, type PageOptions, pageSchema } from '../../database/paging/page.ts'
import { prefixPageSchema } from '../../database/paging/prefix-range.ts'
import type { Json } from '../../schema/values.ts'
import { rule } from '../../validation/fast-path.ts'
import { idSchema, isInteger, keySchema, ttlSecondsSchema, versionSchema } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import { type PropertyConditions, whereSchema } from './where.ts'

export const MAX_KEYS = 1000
/** As deep as a key can be: each label takes a byte and a separator. */
const MAX_DEPTH = 512

/** A value with its key, its version and its times. */
export interface KvEntry<Value = Json> {
  key: string
  /** The session that the entry goes with, or null. */
  sessionId: string | null
  value: Value
  /** Counts the writes of this key, from 1. It starts again after the entry has expired or was deleted. */
  version: number
  createdAt: Date
  updatedAt: Date
  /** The entry is absent from this time on. Null if it never expires. */
  expiresAt: Date | null
}

/** Options of `kv.setIfAbsent()`. */
export interface SetIfAbsentOptions {
  /** How long the entry is kept, in seconds: more than 0, at most 100 years. Default: it never expires. */
  ttlSeconds?: number | undefined
  /**
   * The session that the entry goes with: the entry is gone as soon as the session is deleted or has expired. Without it, the
   * entry goes with no session, also if the entry that it replaces did. Such an entry is not cached.
   */
  sessionId?: string | undefined
}

/** Options of `kv.set()`. */
export interface KvSetOptions extends SetIfAbsentOptions {
  /** Writes only if the entry is at this version. Default: any version, or no entry. */
  ifVersion?: number | undefined
}

export const kvSetOptionsSchema = z.strictObject({
  sessionId: z.optional(idSchema),
  ttlSeconds: z.optional(ttlSecondsSchema),
  ifVersion: z.optional(versionSchema),
}) satisfies z.ZodMiniType<KvSetOptions>

/** An entry that `kv.find()` has found. */
export interface LocatedEntry<Value = Json> extends KvEntry<Value> {
  /** The labels from the namespace that was searched down to the entry's own. Empty if that is the same. */
  namespace: string[]
}

/** Options of `kv.find()`. */
export interface FindEntriesOptions extends PageOptions {
  /** Only entries whose value is an object with such properties. The database looks at every entry. Default: all entries. */
  where?: PropertyConditions | undefined
  /** By the bytes of namespace and key. Default 'asc'. */
  order?: Order | undefined
}

/** Options of `kv.keys()` and `kv.entries()`. */
export interface ListKeysOptions extends FindEntriesOptions {
  /** Only keys that begin with this text. Default: all keys. */
  prefix?: string | undefined
}

/** Options of `kv.namespaces()`. */
export interface ListNamespacesOptions extends PageOptions {
  /** The greatest number of labels below this namespace. Default: all labels. */
  depth?: number | undefined
}

/** Options of `kv.clear()`. */
export interface ClearKeysOptions {
  /** Only keys that begin with this text. Default: all keys. */
  prefix?: string | undefined
}

export const setIfAbsentOptionsSchema = z.omit(kvSetOptionsSchema, { ifVersion: true })
export const keysSchema = z.array(keySchema).check(z.maxLength(MAX_KEYS))
export const entriesSchema = z.array(z.tuple([keySchema, jsonSchema])).check(z.maxLength(MAX_KEYS))
export const findOptionsSchema = z.strictObject({
  ...pageSchema.shape,
  where: z.optional(whereSchema),
  order: z.optional(z.enum(['asc', 'desc'])),
})
export const listOptionsSchema = z.extend(prefixPageSchema, findOptionsSchema.shape)
export const namespacesOptionsSchema = z.extend(pageSchema, {
  depth: z.optional(rule<number>(isInteger(1, MAX_DEPTH), `must be an integer from 1 to ${MAX_DEPTH}`)),
})
export const clearOptionsSchema = z.pick(prefixPageSchema, { prefix: true })
