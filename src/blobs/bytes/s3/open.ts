import type { ResolvedS3BlobStore } from '../../../config/resolved.ts'
import { StorageError } from '../../../errors.ts'
import { Bucket } from './bucket.ts'
import { S3Client } from './client.ts'
import type { Transport } from './exchange.ts'
import { fixedKeys, type KeySource, RenewedKeys } from './keys.ts'
import { S3Marks } from './marks.ts'
import { S3Bytes, type S3BytesOptions } from './s3-bytes.ts'

/**
 * Opens a blob store in a bucket. Sends nothing yet.
 *
 * @throws {CONFIG_INVALID} when neither the configuration nor the environment has keys.
 */
export function openS3(config: ResolvedS3BlobStore, transport: Transport, onStep?: S3BytesOptions['onStep']) {
  const { prefix, stagingPath, endpoint, ...settings } = config
  const client = new S3Client({ ...settings, endpoint: new URL(endpoint), transport, keys: keysOf(config) })
  const bytes = new S3Bytes({ client, prefix, stagingPath, onStep })
  return { bytes, marks: new S3Marks(new Bucket(client), { bucket: config.bucket, prefix }) }
}

/** Takes the keys of the configuration, or else those of the environment, which the tools of AWS take as well. */
function keysOf({ accessKeyId, secretAccessKey, sessionToken, credentials }: ResolvedS3BlobStore): KeySource {
  if (credentials) return new RenewedKeys(async () => credentials())
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return fixedKeys({ accessKeyId, secretAccessKey, sessionToken })
  }
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = process.env
  if (id && secret) return fixedKeys({ accessKeyId: id, secretAccessKey: secret, sessionToken: token || undefined })
  const message =
    'is missing; give accessKeyId and secretAccessKey, or the function credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
  throw new StorageError(
    'CONFIG_INVALID',
    `The storage configuration is not valid:\n  blobStore.accessKeyId: ${message}`,
    {
      details: { problems: [{ path: 'blobStore.accessKeyId', message }] },
    },
  )
}
