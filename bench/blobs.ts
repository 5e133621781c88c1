import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Effort, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SIZES: [name: string, bytes: number][] = [
  ['1 KB', KIB],
  ['10 KB', 10 * KIB],
  ['1 MB', MIB],
  ['100 MB', 100 * MIB],
]

/** Blobs over SQLite and local files, against the same durable write by hand: temp, fsync, rename, fsync of the directory. */
export const blobRows: Row[] = SIZES.flatMap(([name, bytes]) => {
  const inFlight = bytes > MIB ? [1] : [1, 16]
  return inFlight.flatMap((calls) => {
    const at = calls === 1 ? name : `${name}, ${calls} in flight`
    const effort = effortOf(bytes)
    return [
      comparison({ name: `blobs, put ${at}`, target: {}, inFlight: calls, effort, open: (lab) => puts(lab, bytes) }),
      comparison({ name: `blobs, get ${at}`, target: {}, inFlight: calls, effort, open: (lab) => gets(lab, bytes) }),
    ]
  })
})

function effortOf(bytes: number): Partial<Effort> {
  return bytes > MIB ? { rounds: 5, warmupMillis: 0 } : { rounds: 20 }
}

async function opened(lab: Lab) {
  const directory = dirname(lab.file())
  const limits = { maxBlobSize: 1024 * MIB, maxTotalSize: 1024 * 1024 * MIB }
  const storage = await lab.open({
    database: { type: 'sqlite', path: join(directory, 'agent.db') },
    blobStore: { type: 'local', storePath: join(directory, 'blobs'), ...limits },
  })
  const byHand = join(directory, 'by-hand')
  mkdirSync(byHand)
  return { storage, byHand, close: () => storage.close() }
}

/** Different bytes at each call, of which most are the same. */
function different(bytes: number) {
  const data = randomBytes(bytes)
  let calls = 0
  return () => {
    const own = Buffer.from(data)
    own.writeUInt32LE(++calls, 0)
    return own
  }
}

async function puts(lab: Lab, bytes: number): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab)
  const next = different(bytes)
  const stored: string[] = []
  const tidy = async () => {
    for (const id of stored.splice(0)) await storage.blobs.delete(id)
  }
  let files = 0
  return {
    ours: { call: async () => void stored.push((await storage.blobs.put(next())).id), tidy },
    baseline: { call: () => durably(byHand, next()) },
    others: { writeFile: { call: () => writeFile(join(byHand, `plain ${files++ % 100}`), next()) } },
    close,
  }
}

async function gets(lab: Lab, bytes: number): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab)
  const data = randomBytes(bytes)
  const { id } = await storage.blobs.put(data)
  const path = join(byHand, 'file')
  await writeFile(path, data)
  return {
    ours: { call: () => storage.blobs.bytes(id) },
    baseline: {
      call: async () =>
        createHash('sha256')
          .update(await readFile(path))
          .digest(),
    },
    others: { readFile: { call: () => readFile(path) } },
    close,
  }
}

/** What one would write by hand to keep a file over a crash, under its hash. */
async function durably(directory: string, data: Buffer): Promise<void> {
  const hash = createHash('sha256').update(data).digest('hex')
  const path = join(directory, hash)
  await synced(`${path}.tmp`, 'wx', (file) => file.writeFile(data))
  await rename(`${path}.tmp`, path)
  await synced(directory, 'r', async () => {})
  await rm(path) // so that the disk does not fill up; it costs ours nothing on the clock, as here next to nothing
}

async function synced(path: string, flags: string, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const file = await open(path, flags)
  await write(file)
  await file.sync()
  await file.close()
}
