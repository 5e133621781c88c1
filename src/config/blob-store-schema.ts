import * as z from 'zod'
import {
  bucketName,
  connections,
  duration,
  httpUrl,
  ignoredPoolFields,
  integer,
  keyPrefix,
  noOptions,
  path,
  rejectFields,
  runAlways,
  text,
} from './fields.ts'
import type { S3BlobStoreConfig } from './types.ts'

const offloadAboveBytes = integer()
  .optional()
  .describe('Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data.')

export const inMemoryBlobStore = z.strictObject({
  type: z.literal('in-memory'),
  maxBlobSize: integer().default(10_485_760).describe('Size of the largest blob, in bytes. Default 10 MiB.'),
  maxTotalSize: integer().default(104_857_600).describe('Size of all blobs together, in bytes. Default 100 MiB.'),
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const cleanupAfterDays = z
  .union([integer(36_500), z.literal('never')])
  .default(30)
  .describe('A blob that nothing refers to is removed after this many days without use, or never. Default 30.')

const maxTotalSize = integer().default(1_073_741_824).describe('Size of all blobs together, in bytes. Default 1 GiB.')

const localBlobStore = z.strictObject({
  type: z.literal('local'),
  storePath: path.optional().describe('Directory of the blobs. Default: blobs in the base directory.'),
  maxBlobSize: integer().default(52_428_800).describe('Size of the largest blob, in bytes. Default 50 MiB.'),
  maxTotalSize,
  cleanupAfterDays,
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const databaseBlobStore = z.strictObject({
  type: z.literal('database'),
  maxBlobSize: integer().default(10_485_760).describe('Size of the largest blob, in bytes. Default 10 MiB.'),
  maxTotalSize,
  cleanupAfterDays,
  offloadAboveBytes,
  ...ignoredPoolFields,
  options: noOptions,
})

const s3BlobStore = z
  .strictObject({
    type: z.literal('s3'),
    bucket: bucketName.describe('Name of the bucket, which must exist.'),
    region: text
      .regex(/^[\w-]+$/, 'expected a region such as eu-central-1')
      .optional()
      .describe('Region of the bucket. Default: AWS_REGION or AWS_DEFAULT_REGION; beside endpoint us-east-1.'),
    endpoint: httpUrl
      .optional()
      .describe(
        'Address of a server that is not of AWS, such as http://localhost:9000. Default: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else AWS.',
      ),
    prefix: keyPrefix.optional().describe('Folder in the bucket; separates two stores. Default: the whole bucket.'),
    forcePathStyle: z
      .boolean()
      .optional()
      .describe(
        'Name the bucket in the path of a URL instead of its host. Default: true beside endpoint, or if the name has a dot.',
      ),
    accessKeyId: text
      .optional()
      .describe('Access key. Default: AWS_ACCESS_KEY_ID, with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.'),
    secretAccessKey: text.optional().describe('Secret of the access key. Required beside accessKeyId.'),
    sessionToken: text.optional().describe('Token of a temporary access key.'),
    credentials: z
      .custom<S3BlobStoreConfig['credentials']>((value) => typeof value === 'function', 'expected a function')
      .optional()
      .describe(
        'Function that returns the keys, asked again before they expire. Instead of accessKeyId; not in a file.',
      ),
    maxBlobSize: integer(5_368_709_120)
      .default(52_428_800)
      .describe('Size of the largest blob, in bytes, at most 5 GiB. Default 50 MiB.'),
    maxTotalSize,
    cleanupAfterDays,
    offloadAboveBytes,
    maxConnections: connections
      .default(64)
      .describe('Upper limit of requests under way, and so of connections. Default 64.'),
    idleTimeoutMillis: duration
      .default(10_000)
      .describe('An idle connection is closed after this time, in milliseconds. Default 10,000.'),
    connectionTimeoutMillis: duration
      .default(10_000)
      .describe('Longest wait for a connection, in milliseconds. Default 10,000.'),
    options: z
      .strictObject({
        requestTimeoutMillis: duration
          .default(30_000)
          .describe('Longest wait for an answer, and for the next bytes of one, in milliseconds. Default 30,000.'),
        maxAttempts: integer(20)
          .default(5)
          .describe('How often a request is sent at most, if it fails for a passing reason. Default 5.'),
        stagingPath: path
          .optional()
          .describe('Directory for the bytes of puts in progress. Default: the temporary directory of the system.'),
      })
      .prefault({})
      .describe('Options of the requests.'),
  })
  .superRefine(({ accessKeyId, secretAccessKey, sessionToken, credentials }, ctx) => {
    if (credentials !== undefined) {
      const message = 'contradicts credentials, which returns the keys; remove one of the two'
      rejectFields(ctx, { accessKeyId, secretAccessKey, sessionToken }, message)
    } else if (accessKeyId === undefined) {
      rejectFields(ctx, { secretAccessKey, sessionToken }, 'has no effect without accessKeyId; add that, or remove it')
    } else if (secretAccessKey === undefined) {
      ctx.addIssue({
        code: 'custom',
        path: ['secretAccessKey'],
        message: 'is missing; it is required beside accessKeyId',
      })
    }
  }, runAlways)

/** The configuration of a blob store. */
export const blobStore = z.discriminatedUnion('type', [
  inMemoryBlobStore,
  localBlobStore,
  databaseBlobStore,
  s3BlobStore,
])
