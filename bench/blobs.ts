import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { S3BlobStoreConfig, StorageConfig } from 'holdfast'
import { loadCacache } from './cacache.ts'
import type { Effort, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'

const UNSYNCED = 'cacache syncs nothing: after a loss of power what was put may be gone, and ours is not'
const ELSEWHERE = 'the bytes come over a connection, and those of cacache out of a file'

const SHA256 = { algorithms: ['sha256'] }

const KIB = 1024
const MIB = 1024 * KIB
const SIZES: [name: string, bytes: number][] = [
  ['1 KB', KIB],
  ['10 KB', 10 * KIB],
  ['1 MB', MIB],
  ['64 MB', 64 * MIB],
  ['100 MB', 100 * MIB],
]

/**
 * Blobs over SQLite and local files, against the same durable write by hand: temporary file, fsync, rename, directory
 * fsync.
 */
const sizeRows: Row[] = SIZES.flatMap(([name, bytes]) => {
  const inFlight = bytes > MIB ? [1] : [1, 16]
  return inFlight.flatMap((calls) => {
    const at = calls === 1 ? name : `${name}, ${calls} in flight`
    const effort = effortOf(bytes)
    // The tests of the benchmark move less.
    const open = (ways: typeof puts) => (lab: Lab) => ways(lab, Math.min(bytes, lab.options.blobBytes))
    return [
      comparison({ name: `blobs, put ${at}`, target: {}, peers: UNSYNCED, inFlight: calls, effort, open: open(puts) }),
      comparison({ name: `blobs, get ${at}`, target: {}, peers: '', inFlight: calls, effort, open: open(gets) }),
    ]
  })
})

/** Streams, against a pipeline by hand that reads, hashes and writes. Inbound, both make the bytes durable. */
const streamRows: Row[] = [
  comparison({ name: 'blobs, stream in', target: { atLeast: 0.8 }, effort: effortOf(MIB + 1), open: streamsIn }),
  comparison({ name: 'blobs, stream out', target: { atLeast: 0.8 }, effort: effortOf(MIB + 1), open: streamsOut }),
]

/** The same in memory, in the database and in a bucket on this machine, against the same files by hand. */
const elsewhereRows: Row[] = Object.entries({
  memory: inMemory,
  SQLite: inSqlite,
  PostgreSQL: inPostgres,
  'a bucket': inBucket,
}).flatMap(([place, configOf]) =>
  SIZES.filter(([name]) => ['10 KB', '1 MB', '64 MB'].includes(name)).flatMap(([name, bytes]) => {
    const effort = effortOf(bytes)
    const open = (ways: typeof puts) => async (lab: Lab) =>
      ways(lab, Math.min(bytes, lab.options.blobBytes), await configOf(lab))
    return [
      comparison({ name: `blobs in ${place}, put ${name}`, target: {}, peers: UNSYNCED, effort, open: open(puts) }),
      comparison({ name: `blobs in ${place}, get ${name}`, target: {}, peers: ELSEWHERE, effort, open: open(gets) }),
    ]
  }),
)

export const blobRows = [...sizeRows, ...elsewhereRows, ...streamRows]

function inMemory(): StorageConfig {
  return { database: { type: 'in-memory' }, blobStore: { type: 'in-memory' } }
}

function inSqlite(): StorageConfig {
  return { blobStore: { type: 'database' } }
}

async function inPostgres(lab: Lab): Promise<StorageConfig> {
  return { database: { type: 'postgres', url: await lab.postgresUrl() }, blobStore: { type: 'database' } }
}

async function inBucket(lab: Lab): Promise<StorageConfig> {
  const { config } = await lab.once('bucket', startBucket, async ({ server }) => void server.kill('SIGKILL'))
  return { blobStore: { ...config, prefix: randomBytes(8).toString('hex') } }
}

/** Starts a bucket in a process of its own, so that its work is not ours. */
async function startBucket(): Promise<{ server: ChildProcess; config: S3BlobStoreConfig }> {
  const program = join(import.meta.dirname, 'programs/bucket.ts')
  const server = spawn(process.execPath, ['--import', 'tsx', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface(server.stdout), 'line')
  return { server, config: JSON.parse(line) }
}

function effortOf(bytes: number): Partial<Effort> {
  return bytes > MIB ? { rounds: 5, warmupMillis: 0 } : { rounds: 20 }
}

async function opened(lab: Lab, config: StorageConfig = {}) {
  const directory = dirname(lab.file())
  const limits = { maxBlobSize: 1024 * MIB, maxTotalSize: 1024 * 1024 * MIB }
  const storage = await lab.open({
    database: { type: 'sqlite', path: join(directory, 'agent.db') },
    ...config,
    blobStore: { ...(config.blobStore ?? { type: 'local', storePath: join(directory, 'blobs') }), ...limits },
  })
  const byHand = join(directory, 'by-hand')
  mkdirSync(byHand)
  return { storage, byHand, close: () => storage.close() }
}

/** Returns a function that returns a new content at each call, by changing the first 4 bytes. */
function different(bytes: number) {
  const data = randomBytes(bytes)
  let calls = 0
  return () => {
    const own = Buffer.from(data)
    own.writeUInt32LE(++calls, 0)
    return own
  }
}

async function puts(lab: Lab, bytes: number, config?: StorageConfig): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab, config)
  const next = different(bytes)
  const stored: string[] = []
  const tidy = async () => {
    for (const id of stored.splice(0)) await storage.blobs.delete(id)
  }
  let files = 0
  const cacache = await loadCacache()
  const cached = join(byHand, 'cacache')
  return {
    ours: { call: async () => void stored.push((await storage.blobs.put(next())).id), tidy },
    baseline: { call: () => durably(byHand, next()) },
    others: {
      writeFile: { call: () => writeFile(join(byHand, `plain ${files++ % 100}`), next()) },
      ...(cacache && { cacache: { call: () => cacache.put(cached, `${files++ % 100}`, next(), SHA256) } }),
    },
    close,
  }
}

async function gets(lab: Lab, bytes: number, config?: StorageConfig): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab, config)
  const data = randomBytes(bytes)
  const { id } = await storage.blobs.put(data)
  const path = join(byHand, 'file')
  await writeFile(path, data)
  const cacache = await loadCacache()
  const cached = join(byHand, 'cacache')
  await cacache?.put(cached, 'content', data, SHA256)
  return {
    ours: { call: () => storage.blobs.bytes(id) },
    baseline: {
      call: async () =>
        createHash('sha256')
          .update(await readFile(path))
          .digest(),
    },
    others: {
      readFile: { call: () => readFile(path) },
      ...(cacache && { cacache: { call: () => cacache.get(cached, 'content') } }),
    },
    close,
  }
}

/** Writes a file of the lab's blob size. Returns its path. */
async function largeFile(lab: Lab, directory: string): Promise<string> {
  const path = join(directory, 'large')
  const some = randomBytes(MIB)
  await synced(path, 'wx', async (file) => {
    for (let written = 0; written < lab.options.blobBytes; written += MIB) {
      some.writeUInt32LE(written / MIB, 0)
      await file.writeFile(some)
    }
  })
  return path
}

async function streamsIn(lab: Lab): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab)
  const from = await largeFile(lab, byHand)
  const stored: string[] = []
  const tidy = async () => {
    for (const id of stored.splice(0)) await storage.blobs.delete(id)
  }
  return {
    ours: { call: async () => void stored.push((await storage.blobs.put(createReadStream(from))).id), tidy },
    baseline: {
      call: async () => {
        const temporary = join(byHand, 'temporary')
        const hash = await copyAndHash(from, temporary)
        await synced(temporary, 'r', async () => {})
        await rename(temporary, join(byHand, hash))
        await synced(byHand, 'r', async () => {})
      },
    },
    close,
  }
}

async function streamsOut(lab: Lab): Promise<Ways> {
  const { storage, byHand, close } = await opened(lab)
  const from = await largeFile(lab, byHand)
  const { id, hash } = await storage.blobs.put({ path: from })
  const to = join(byHand, 'copy')
  return {
    ours: { call: async () => pipeline(await storage.blobs.stream(id), createWriteStream(to)) },
    baseline: {
      call: async () => {
        if ((await copyAndHash(from, to)) !== hash) throw new Error('The copy is not the file')
      },
    },
    close,
  }
}

async function copyAndHash(from: string, to: string): Promise<string> {
  const hash = createHash('sha256')
  const hashing = new Transform({
    transform(chunk, _, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  await pipeline(createReadStream(from), hashing, createWriteStream(to))
  return hash.digest('hex')
}

/** Writes a file under its hash so that it survives a crash, by hand. */
async function durably(directory: string, data: Buffer): Promise<void> {
  const hash = createHash('sha256').update(data).digest('hex')
  const path = join(directory, hash)
  await synced(`${path}.tmp`, 'wx', (file) => file.writeFile(data))
  await rename(`${path}.tmp`, path)
  await synced(directory, 'r', async () => {})
  await rm(path) // or the disk fills up; takes next to no time. Our way deletes outside of the clock.
}

async function synced(path: string, flags: string, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const file = await open(path, flags)
  await write(file)
  await file.sync()
  await file.close()
}
