import * as z from 'zod'
import type { PageOptions } from '../../database/paging/page.ts'
import type { JsonObject, MemorySource } from '../../schema/values.ts'
import { textSchema } from '../../validation/input.ts'
import { jsonObjectSchema } from '../../validation/json.ts'

export interface Memory {
  id: string
  content: string
  /** In the order they were given. */
  tags: string[]
  /** `source` and `pinned`, where they were given, and whatever else was. */
  metadata: JsonObject
  createdAt: Date
  updatedAt: Date
}

export const sourceSchema = z.enum(['user', 'system'])

export const tagsSchema = z
  .array(
    textSchema({ max: 50 })
      .min(1)
      .regex(/^\P{Cc}*$/u, 'must not hold control characters'),
  )
  .transform((tags) => [...new Set(tags)])
  .refine((tags) => tags.length <= 10, 'must be at most 10 different tags')

/** Only looked at, not parsed: metadata comes back in the order of its keys. */
export const knownMetadataSchema = z.looseObject({ source: sourceSchema.optional(), pinned: z.boolean().optional() })

const metadataSchema = jsonObjectSchema.pipe(
  z.custom<JsonObject>().superRefine((metadata: JsonObject, context) => {
    const { error } = knownMetadataSchema.safeParse(metadata)
    for (const { path, message } of error?.issues ?? []) context.addIssue({ code: 'custom', path, message })
  }),
)

export const memoryInputSchema = z.strictObject({
  content: textSchema({ min: 1, max: 10_000 }),
  tags: tagsSchema.optional(),
  metadata: metadataSchema.optional(),
})
export interface MemoryInput {
  /** 1 to 10,000 characters. */
  content: string
  /** Up to 10 of 1 to 50 characters, without control characters; one given twice counts once. Default none. */
  tags?: string[] | undefined
  /** `source` and `pinned` can be filtered by; anything else is kept. */
  metadata?: (KnownMetadata & (object | Record<string, unknown>)) | undefined
}

interface KnownMetadata {
  source?: MemorySource | undefined
  pinned?: boolean | undefined
}

export const memoryPatchSchema = memoryInputSchema.partial()
export type MemoryPatch = { [K in keyof MemoryInput]?: MemoryInput[K] | undefined }

export interface ListMemoriesOptions extends PageOptions {
  /** Up to 10. Default: whatever the tags. */
  tags?: string[] | undefined
  /** Whether one of the tags is enough. Default 'any'. */
  match?: 'any' | 'all' | undefined
  source?: MemorySource | undefined
  /** False finds those that are not pinned. */
  pinned?: boolean | undefined
}
