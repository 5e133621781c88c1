// Blobs in a bucket that two machines share, without a network: the bucket is a server in this process.
//
//   node --import tsx examples/bucket/bucket.ts
//
// With a bucket of your own, replace `bucket` by { type: 's3', bucket, region } and leave the server out.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { openStorage, type S3BlobStoreConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'

/** Returns what the second machine has read, and what a browser has got from the presigned URL. */
export async function shareFiles(directory: string) {
  const server = await startS3Server()
  try {
    return await share(server.config, directory)
  } finally {
    await server.close()
  }
}

async function share(bucket: S3BlobStoreConfig, directory: string) {
  const config = {
    // Two machines would share a PostgreSQL. Two storages of one machine may share a file, and
    // Holdfast warns of the second one in a process.
    database: { type: 'sqlite', path: join(directory, 'agent.db') },
    blobStore: { ...bucket, prefix: 'production', offloadAboveBytes: 1024 },
  } as const
  await using one = await openStorage(config, { maintenance: false })
  await using two = await openStorage(config, { maintenance: false })

  const report = await one.blobs.put(Buffer.from('# Report\n'), { name: 'report.md' })
  const text = await two.blobs.text(report.uri)
  const url = await two.blobs.url(report.uri, { expiresSeconds: 60 })
  const answer = await fetch(url ?? '')
  const download = { text: await answer.text(), disposition: answer.headers.get('content-disposition') }

  // A picture inside of a message goes to the bucket, and comes back for the model.
  const picture = `data:image/png;base64,${Buffer.alloc(5000, 'a picture ').toString('base64')}`
  const message = { role: 'user', content: [{ type: 'file', mediaType: 'image/png', url: picture }] }
  await one.messages.append('chat', message)
  const stored = await two.messages.latest('chat', 1)
  const forTheModel = await two.blobs.inline(stored)
  return { text, download, stored: stored[0]?.content, isWhole: JSON.stringify(forTheModel).includes(picture) }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bucket-'))
  console.log(await shareFiles(directory))
  rmSync(directory, { recursive: true })
}
