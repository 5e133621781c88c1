import { join } from 'node:path'
import { AwsClient } from 'aws4fetch'
import type { S3BlobStoreConfig } from 'holdfast'
import { pythonWithSwift } from './binaries.ts'
import { freePort, ServerProcess } from './server-process.ts'
import { temporaryDirectory } from './temporary.ts'

/** A bucket on a server that is not ours. */
export interface OtherServer {
  readonly config: S3BlobStoreConfig
  stop(): Promise<void>
}

/** Returns the bucket of TEST_S3_URL, or starts OpenStack Swift with an empty bucket. */
export async function otherS3Server(): Promise<OtherServer> {
  const given = process.env.TEST_S3_URL
  return given ? { config: bucketOf(given), stop: async () => {} } : startSwift()
}

function bucketOf(text: string): S3BlobStoreConfig {
  const url = new URL(text)
  return {
    type: 's3',
    endpoint: url.origin,
    bucket: url.pathname.slice(1),
    region: url.searchParams.get('region') ?? 'us-east-1',
    accessKeyId: decodeURIComponent(url.username),
    secretAccessKey: decodeURIComponent(url.password),
  }
}

async function startSwift(): Promise<OtherServer> {
  const port = await freePort()
  const keys = { accessKeyId: 'test:holdfast', secretAccessKey: 'the-secret-of-the-tests', region: 'us-east-1' }
  const directory = temporaryDirectory('swift')
  const endpoint = `http://127.0.0.1:${port}`
  const script = join(import.meta.dirname, 'swift-server.py')
  const server = new ServerProcess({
    program: pythonWithSwift(),
    args: [script, directory, String(port), keys.accessKeyId, keys.secretAccessKey, keys.region],
    directory,
    ready: () =>
      fetch(endpoint).then(
        (answer) => answer.status === 404,
        () => false,
      ),
  })
  await server.start()
  const config = { type: 's3', bucket: 'holdfast', endpoint, ...keys } as const
  const client = new AwsClient({ ...keys, service: 's3', retries: 0 })
  const created = await client.fetch(`${endpoint}/${config.bucket}`, { method: 'PUT' })
  if (!created.ok) throw new Error(`Swift created no bucket: ${created.status} ${await created.text()}`)
  return { config, stop: () => server.end('SIGKILL') }
}
