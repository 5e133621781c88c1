import http from 'node:http'
import type { S3BlobStoreConfig } from 'holdfast'
import { type S3ServerOptions, startS3Server } from 'holdfast/testing'
import { openS3 } from '../../../src/blobs/bytes/s3/open.ts'
import type { S3BytesOptions } from '../../../src/blobs/bytes/s3/s3-bytes.ts'
import { resolveConfig } from '../../../src/config/resolve.ts'
import type { ResolvedS3BlobStore } from '../../../src/config/resolved.ts'

/** Returns the store as `openStorage` resolves it. */
export function resolved(store: S3BlobStoreConfig): ResolvedS3BlobStore {
  const { blobStore } = resolveConfig({ database: { type: 'sqlite', path: 'unused.db' }, blobStore: store })
  if (blobStore.type !== 's3') throw new TypeError('It is a store in a bucket')
  return blobStore
}

type Settings = Partial<S3BlobStoreConfig> & { onStep?: S3BytesOptions['onStep'] }

/** Starts a server and returns what opens stores in it. */
export async function serve(options: S3ServerOptions = {}) {
  const server = await startS3Server(options)
  const stores: { close(): Promise<void> }[] = []
  /** Opens a store, by default with short waits. */
  const open = ({ onStep, ...settings }: Settings = {}) => {
    const opened = openS3(
      resolved({ ...server.config, options: { requestTimeoutMillis: 2000, maxAttempts: 8 }, ...settings }),
      http,
      onStep,
    )
    stores.push(opened.bytes)
    return opened
  }
  const close = async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.close()
  }
  return { ...server, open, close, [Symbol.asyncDispose]: close }
}
