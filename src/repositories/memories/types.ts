import * as z from 'zod/mini'
import type { PageOptions } from '../../database/paging/page.ts'
import type { Given, JsonObject, MemorySource, MetadataPatch } from '../../schema/values.ts'
import { textSchema } from '../../validation/input.ts'
import { jsonObjectWith } from '../../validation/json.ts'

/** A stored memory. */
export interface Memory<Metadata extends object = JsonObject> {
  /** Rises with the time of creation. */
  id: string
  /** The owner of the scope it was created in. '' if nobody owns it. */
  ownerId: string
  content: string
  /** In the order they were given. */
  tags: string[]
  /** The metadata as given, with `source` and `pinned` if they were given. */
  metadata: Metadata
  createdAt: Date
  updatedAt: Date
}

export const sourceSchema = z.enum(['user', 'system'])

export const tagsSchema = z
  .pipe(
    z.array(
      textSchema({ min: 1, max: 50 }).check(
        z.refine((tag) => /^\P{Cc}*$/u.test(tag), 'must not hold control characters'),
      ),
    ),
    z.transform((tags) => [...new Set(tags)]),
  )
  .check(z.refine((tags) => tags.length <= 10, 'must be at most 10 different tags'))

/** Only validates: the metadata is stored as given, so that its keys keep their order. */
export const knownMetadataSchema = z.looseObject({ source: z.optional(sourceSchema), pinned: z.optional(z.boolean()) })

const metadataSchema = jsonObjectWith<JsonObject>(knownMetadataSchema)

export const memoryInputSchema = z.strictObject({
  content: textSchema({ min: 1, max: 10_000 }),
  tags: z.optional(tagsSchema),
  metadata: z.optional(metadataSchema),
})

/** A memory to create. */
export interface MemoryInput<Metadata extends object = JsonObject> {
  /** 1 to 10,000 characters. */
  content: string
  /** Up to 10 different tags of 1 to 50 characters, without control characters. Default: none. */
  tags?: readonly string[] | undefined
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, MemoryMetadataInput> | undefined
}

/** Any JSON object. A list can be filtered by `source` and `pinned`. */
export type MemoryMetadataInput = KnownMetadata & (object | Record<string, unknown>)

interface KnownMetadata {
  /** Who the memory comes from. */
  source?: MemorySource | undefined
  pinned?: boolean | undefined
}

export const memoryPatchSchema = z.partial(memoryInputSchema)

/** The changes: new content, new tags in place of all tags, metadata properties to set, or to remove if undefined. */
export interface MemoryPatch<Metadata extends object = JsonObject> {
  content?: string | undefined
  tags?: readonly string[] | undefined
  metadata?: Given<MetadataPatch<Metadata>, MetadataPatch<JsonObject>, MemoryMetadataInput> | undefined
}

/** Options of `memories.list()`. A memory must match all of them. */
export interface ListMemoriesOptions extends PageOptions {
  /** Only memories with these tags, up to 10. Default: any tags. */
  tags?: readonly string[] | undefined
  /** Whether a memory needs any or all of the `tags`. Default 'any'. */
  match?: 'any' | 'all' | undefined
  /** Only memories with this source. Default: any source, or none. */
  source?: MemorySource | undefined
  /** True: only pinned memories. False: only memories that are not pinned. Default: both. */
  pinned?: boolean | undefined
  /** Only memories of this owner. Default: everybody's. In a scope, all memories have its owner. */
  ownerId?: string | undefined
}
