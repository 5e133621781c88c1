import * as z from 'zod/mini'
import {
  bucketName,
  connections,
  described,
  duration,
  httpUrl,
  ignoredPoolFields,
  integer,
  keyPrefix,
  noOptions,
  optional,
  path,
  rejectFields,
  runAlways,
  section,
  text,
  withDefault,
} from './fields.ts'
import type { S3BlobStoreConfig } from './types.ts'

const offloadAboveBytes = optional(
  integer(),
  'Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data.',
)

export const inMemoryBlobStore = z.strictObject({
  type: z.literal('in-memory'),
  maxBlobSize: withDefault(integer(), 10_485_760, 'Size of the largest blob, in bytes. Default 10 MiB.'),
  maxTotalSize: withDefault(integer(), 104_857_600, 'Size of all blobs together, in bytes. Default 100 MiB.'),
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const cleanupAfterDays = withDefault(
  z.union([integer(36_500), z.literal('never')]),
  30,
  'A blob that nothing refers to is removed after this many days without use, or never. Default 30.',
)

const maxTotalSize = withDefault(integer(), 1_073_741_824, 'Size of all blobs together, in bytes. Default 1 GiB.')

const localBlobStore = z.strictObject({
  type: z.literal('local'),
  storePath: optional(path, 'Directory of the blobs. Default: blobs in the base directory.'),
  maxBlobSize: withDefault(integer(), 52_428_800, 'Size of the largest blob, in bytes. Default 50 MiB.'),
  maxTotalSize,
  cleanupAfterDays,
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const databaseBlobStore = z.strictObject({
  type: z.literal('database'),
  maxBlobSize: withDefault(integer(), 10_485_760, 'Size of the largest blob, in bytes. Default 10 MiB.'),
  maxTotalSize,
  cleanupAfterDays,
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const s3BlobStore = z
  .strictObject({
    type: z.literal('s3'),
    bucket: described(bucketName, 'Name of the bucket, which must exist.'),
    region: optional(
      text.check(z.regex(/^[\w-]+$/, 'expected a region such as eu-central-1')),
      'Region of the bucket. Default: AWS_REGION or AWS_DEFAULT_REGION; beside endpoint us-east-1.',
    ),
    endpoint: optional(
      httpUrl,
      'Address of a server that is not of AWS. Default: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else AWS.',
    ),
    prefix: optional(keyPrefix, 'Folder in the bucket; separates two stores. Default: the whole bucket.'),
    forcePathStyle: optional(
      z.boolean(),
      'Name the bucket in the path of a URL instead of its host. Default: true beside endpoint, or if the name has a dot.',
    ),
    accessKeyId: optional(
      text,
      'Access key. Default: AWS_ACCESS_KEY_ID, with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.',
    ),
    secretAccessKey: optional(text, 'Secret of the access key. Required beside accessKeyId.'),
    sessionToken: optional(text, 'Token of a temporary access key.'),
    credentials: optional(
      z.custom<S3BlobStoreConfig['credentials']>((value) => typeof value === 'function', 'expected a function'),
      'Function that returns the keys, asked again before they expire. Instead of accessKeyId; not in a file.',
    ),
    maxBlobSize: withDefault(
      integer(5_368_709_120),
      52_428_800,
      'Size of the largest blob, in bytes, at most 5 GiB. Default 50 MiB.',
    ),
    maxTotalSize,
    cleanupAfterDays,
    offloadAboveBytes,
    maxConnections: withDefault(
      connections,
      64,
      'Upper limit of requests under way, and so of connections. Default 64.',
    ),
    idleTimeoutMillis: withDefault(
      duration,
      10_000,
      'An idle connection is closed after this time, in milliseconds. Default 10,000.',
    ),
    connectionTimeoutMillis: withDefault(
      duration,
      10_000,
      'Longest wait for a connection, in milliseconds. Default 10,000.',
    ),
    options: section(
      {
        requestTimeoutMillis: withDefault(
          duration,
          30_000,
          'Longest wait for an answer, and for the next bytes of one, in milliseconds. Default 30,000.',
        ),
        maxAttempts: withDefault(
          integer(20),
          5,
          'How often a request is sent at most, if it fails for a passing reason. Default 5.',
        ),
        stagingPath: optional(
          path,
          'Directory for the bytes of puts in progress. Default: the temporary directory of the system.',
        ),
      },
      'Options of the requests.',
    ),
  })
  .check(
    z.superRefine(({ accessKeyId, secretAccessKey, sessionToken, credentials }, ctx) => {
      if (credentials !== undefined) {
        const message = 'contradicts credentials, which returns the keys; remove one of the two'
        rejectFields(ctx, { accessKeyId, secretAccessKey, sessionToken }, message)
      } else if (accessKeyId === undefined) {
        rejectFields(
          ctx,
          { secretAccessKey, sessionToken },
          'has no effect without accessKeyId; add that, or remove it',
        )
      } else if (secretAccessKey === undefined) {
        ctx.addIssue({
          code: 'custom',
          path: ['secretAccessKey'],
          message: 'is missing; it is required beside accessKeyId',
        })
      }
    }, runAlways),
  )

/** The configuration of a blob store. */
export const blobStore = z.discriminatedUnion('type', [
  inMemoryBlobStore,
  localBlobStore,
  databaseBlobStore,
  s3BlobStore,
])
