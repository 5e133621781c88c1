import * as z from 'zod/mini'
import { type PageOptions, pageSchema } from '../database/paging/page.ts'
import type { Given, JsonObject } from '../schema/values.ts'
import { instantOrAgeSchema } from '../validation/age.ts'
import { idSchema, instantSchema, millisSchema, signalSchema, textSchema } from '../validation/input.ts'
import { jsonObjectSchema } from '../validation/json.ts'
import { mimeTypeSchema } from './input/mime.ts'

/** A blob without its bytes. */
export interface BlobRecord<Metadata extends object = JsonObject> {
  /** 32 random hexadecimal digits. */
  id: string
  /** Whose blob it is. The empty string if it is nobody's. */
  ownerId: string
  /** `blob:<id>`, the reference that messages mention. */
  uri: string
  /** The SHA-256 of the bytes: 64 hexadecimal digits. */
  hash: string
  /** In bytes. */
  size: number
  /** The given name, or the name of the File or path. It is never used as a file name. */
  name: string | null
  /** The given type, the type of the input, or a guess. */
  mimeType: string
  /** Who or what the blob is from, as given. */
  source: string | null
  metadata: Metadata
  createdAt: Date
  /** When the blob was last put, read or mentioned, or cleanup found its id in a text. Up to an hour too early. */
  lastUsedAt: Date
  /** The blob is absent from this time on. Null if it never expires. */
  expiresAt: Date | null
}

/** The name of a blob: up to 1024 characters. */
export const blobNameSchema = textSchema({ max: 1024 })

export interface PutBlobOptions<Metadata extends object = JsonObject> {
  /** Up to 1024 characters. Default: the name of the File or the path. */
  name?: string | undefined
  /** Default: the type of the Blob or data URI, else a guess by the first bytes, else by the name. */
  mimeType?: string | undefined
  /** Who or what the blob is from, for `list`: 1 to 255 bytes. Default: none. */
  source?: string | undefined
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
  /** Default null: the blob never expires. */
  expiresAt?: Date | null | undefined
  /** Ends the put with ABORTED, and destroys the source. Has no effect once the bytes are stored. Default: none. */
  signal?: AbortSignal | undefined
  /** How long the put waits for the next bytes of its source, and for its turn. In milliseconds. Default 60,000. */
  idleTimeoutMillis?: number | undefined
}

export const putBlobOptionsSchema = z.strictObject({
  name: z.optional(blobNameSchema),
  mimeType: z.optional(mimeTypeSchema),
  source: z.optional(idSchema),
  metadata: z.optional(jsonObjectSchema),
  expiresAt: z.optional(z.nullable(instantSchema)),
  signal: z.optional(signalSchema),
  idleTimeoutMillis: z.optional(millisSchema),
}) satisfies z.ZodMiniType<PutBlobOptions>

/** The bytes from `start` to `end`: both are included and count from 0, as in `fs.createReadStream` and HTTP ranges. */
export interface ByteRange {
  /** Default 0. At or after the end of the blob, the range is empty. */
  start?: number | undefined
  /** Default, and at most, the last byte. */
  end?: number | undefined
}

export const rangeSchema = z
  .strictObject({ start: z.optional(z.int().check(z.gte(0))), end: z.optional(z.int().check(z.gte(0))) })
  .check(
    z.refine(({ start = 0, end = start }) => start <= end, 'start must not be after end'),
  ) satisfies z.ZodMiniType<ByteRange>

export interface BlobUrlOptions {
  /** The URL is refused after so many seconds: 1 to 604,800, a week. Default 900. */
  expiresSeconds?: number | undefined
  /** Whether a browser downloads the blob or shows it. Default attachment. */
  disposition?: 'attachment' | 'inline' | undefined
}

export const urlOptionsSchema = z.strictObject({
  expiresSeconds: z.optional(z.int().check(z.gte(1), z.lte(604_800))),
  disposition: z.optional(z.enum(['attachment', 'inline'])),
}) satisfies z.ZodMiniType<BlobUrlOptions>

export interface DeleteBlobOptions {
  /** Deletes the blob even if a message mentions it. Default false. */
  force?: boolean | undefined
}

export const deleteOptionsSchema = z.strictObject({
  force: z.optional(z.boolean()),
}) satisfies z.ZodMiniType<DeleteBlobOptions>

export interface ListBlobsOptions extends PageOptions {
  /** Only blobs with this source. Default: all blobs. */
  source?: string | undefined
  /** Only blobs of this owner: 1 to 255 bytes. Default: everybody's. A scope lists those of its owner in any case. */
  ownerId?: string | undefined
}

export const listOptionsSchema = z.strictObject({
  source: z.optional(idSchema),
  ownerId: z.optional(idSchema),
  ...pageSchema.shape,
}) satisfies z.ZodMiniType<ListBlobsOptions>

export interface BlobStats {
  /** The number of blobs. Expired blobs count until maintenance removes them. */
  count: number
  /** The number of different contents. Blobs with equal bytes share one. */
  contents: number
  /** The size of all contents, in bytes. */
  bytes: number
  maxTotalSize: number
}

export interface CleanupBlobsOptions {
  /**
   * Removes blobs that were certainly not used after this time: a read is recorded once an hour. An age such as `30d`, `12h` or
   * `45m` counts back from the time of the database. Default: `cleanupAfterDays` ago; in memory or with never, no blob.
   */
  olderThan?: Date | string | undefined
  /** Only counts what would be removed. Default false. */
  dryRun?: boolean | undefined
  /** Ends the call after the blob, or the search, that is under way. Then it rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each blob that was removed or, with `dryRun`, counted. Receives the sums until then. */
  onProgress?: ((progress: BlobCleanup) => void) | undefined
}

export const cleanupOptionsSchema = z.strictObject({
  olderThan: z.optional(instantOrAgeSchema),
  dryRun: z.optional(z.boolean()),
  signal: z.optional(signalSchema),
  onProgress: z.optional(z.custom<CleanupBlobsOptions['onProgress']>((value) => typeof value === 'function')),
}) satisfies z.ZodMiniType<CleanupBlobsOptions>

/** What a cleanup removed, or would remove. */
export interface BlobCleanup {
  /** The number of records. */
  removed: number
  /** The sum of their sizes, in bytes. A content that another record shares stays. */
  bytes: number
}

/** The steps of `verify`, in their order. `docs/blobs.md` says what each finds. */
export type VerifyStep = 'staged' | 'damaged' | 'missing' | 'unreferenced' | 'strays' | 'usage'

export interface VerifyOptions {
  /** Default false: changes nothing. */
  repair?: boolean | undefined
  /** Lets `repair` remove more than a tenth of the contents. Default false: then it changes nothing, and rejects. */
  force?: boolean | undefined
  /** Ends the call after the item that is being checked. Then it rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each item that was checked. */
  onProgress?: ((progress: { step: VerifyStep; checked: number; found: number }) => void) | undefined
}

export const verifyOptionsSchema = z.strictObject({
  repair: z.optional(z.boolean()),
  force: z.optional(z.boolean()),
  signal: z.optional(signalSchema),
  onProgress: z.optional(z.custom<VerifyOptions['onProgress']>((value) => typeof value === 'function')),
}) satisfies z.ZodMiniType<VerifyOptions>

/** What one step of `verify` found. */
export interface VerifyReport {
  step: VerifyStep
  /** The number of items checked. */
  checked: number
  /** The number of items that are wrong. */
  found: number
  /** The number of items repaired. 0 without `repair`. */
  repaired: number
  /** The first 100 items found: hashes, or the names of counters. */
  items: string[]
}

export interface BlobVerification {
  /** True if no step found anything. */
  ok: boolean
  steps: VerifyReport[]
}
