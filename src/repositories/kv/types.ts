import * as z from 'zod'
import type { Order, PageOptions } from '../../database/paging/page.ts'
import type { Json } from '../../schema/values.ts'
import { ttlSecondsSchema, versionSchema } from '../../validation/input.ts'

/** A value with its key, its version and its times. */
export interface KvEntry<Value = Json> {
  key: string
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
}

/** Options of `kv.set()`. */
export interface KvSetOptions extends SetIfAbsentOptions {
  /** Writes only if the entry is at this version. Default: any version, or no entry. */
  ifVersion?: number | undefined
}

export const kvSetOptionsSchema = z.strictObject({
  ttlSeconds: ttlSecondsSchema.optional(),
  ifVersion: versionSchema.optional(),
}) satisfies z.ZodType<KvSetOptions>

/** Options of `kv.keys()` and `kv.entries()`. */
export interface ListKeysOptions extends PageOptions {
  /** Only keys that begin with this text. Default: all keys. */
  prefix?: string | undefined
  /** By the bytes of the keys. Default 'asc'. */
  order?: Order | undefined
}

/** Options of `kv.clear()`. */
export interface ClearKeysOptions {
  /** Only keys that begin with this text. Default: all keys. */
  prefix?: string | undefined
}
