/**
 * Moves a blob of `<MiB>` through a process that has done nothing before, and prints by how much the peak of its
 * resident memory exceeds its idle memory: `stream.ts <directory or blob store, with its directory and database> <MiB> <how>
 * [reference]`.
 */
import { randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from '../../../src/index.ts'
import { say } from '../../setup/say.ts'

const [place = '', mebibytes = '', how = '', reference = ''] = process.argv.slice(2)
const MIB = 1024 * 1024
const limits = { maxBlobSize: 2048 * MIB, maxTotalSize: 8192 * MIB }
const {
  directory,
  database = { type: 'sqlite', path: join(directory, 'agent.db') },
  ...blobStore
} = place.startsWith('{') ? JSON.parse(place) : { directory: place, type: 'local', storePath: join(place, 'blobs') }
const storage = await openStorage(
  {
    database,
    blobStore: { ...blobStore, ...limits },
  },
  { maintenance: false },
)
const path = reference === '' ? '' : String(await storage.blobs.path(reference))

async function* generate() {
  const chunk = Buffer.alloc(64 * 1024)
  for (let i = 0; i < Number(mebibytes) * 16; i += 1) yield randomFillSync(chunk, 0, 16)
}

/** Waits for a turn of the event loop before it accepts the next chunk. */
const sink = () => new Writable({ write: (_chunk, _encoding, done) => void setImmediate(done) })

const ways: Record<string, () => Promise<unknown>> = {
  'in: iterable': () => storage.blobs.put(generate()),
  'in: path': () => storage.blobs.put({ path }),
  'in: readable': () => storage.blobs.put(createReadStream(path)),
  out: async () => pipeline(await storage.blobs.stream(reference), sink()),
  'out: to a loop': async () => {
    for await (const _ of await storage.blobs.stream(reference));
  },
  'out: whole': () => storage.blobs.bytes(reference),
}

await sleep(200)
const idle = process.memoryUsage.rss()
const done = await ways[how]?.()
const added = process.resourceUsage().maxRSS / 1024 - idle / MIB
const uri = typeof done === 'object' && done && 'uri' in done ? done.uri : undefined
say({ added, uri })
await storage.close()
