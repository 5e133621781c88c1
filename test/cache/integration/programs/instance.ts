import { createInterface } from 'node:readline'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { MemoryCacheStore } from '../../../../src/cache/memory.ts'
import { RedisCacheStore } from '../../../../src/cache/redis/store.ts'
import { resolveConfig } from '../../../../src/config/resolve.ts'
import { say } from '../../../setup/say.ts'
import { silent } from '../../../setup/silent.ts'
import type { RowReader } from '../../staleness.ts'
import { joinedFlight, leased, plain, setAfterCommit } from '../../variants.ts'

/** What the test can tell this process to do. */
export type Command =
  | ({ do: 'trial' } & Trial)
  | { do: 'read'; key: string; times: number }
  | { do: 'write'; key: string; value: number }
  | { do: 'close' }

export interface Trial {
  /** The cache of the storage, or a variant in its place. */
  variant: 'ours' | keyof typeof variants
  /** The beginning of the keys. No other trial uses it. */
  prefix: string
  rows: number
  /** The rows that this process writes. */
  own: number[]
  /** The trial ends after this number of reads and this number of writes. A slow machine writes less while it reads. */
  reads: number
  writes: number
  /** The longest pause between two writes of a row. */
  pauseMillis: number
  /** Ends the trial after this time, even if there were fewer reads or writes. */
  maxMillis: number
}

/** Flat triples of numbers: row, version, and a time on the clock that all processes of the machine share. */
export interface History {
  /** With the time of the acknowledgement. */
  writes: number[]
  /** With the time at which the read started. */
  reads: number[]
}

export type Message =
  | { is: 'open'; warnings: string[] }
  | { is: 'history'; history: History; over: boolean; warnings: string[] }
  | { is: 'read'; loads: number; values: unknown[] }
  | { is: 'written' }

const variants = { plain, setAfterCommit, joinedFlight, leased }

const config: StorageConfig = JSON.parse(process.argv[2] ?? '{}')
const warnings: string[] = []
const logger = { ...silent, warn: (message: string) => void warnings.push(message) }
const storage = await openStorage(config, { maintenance: false, logger })

say<Message>({ is: 'open', warnings })

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command // the test sends only commands
  if (command.do === 'trial') await trial(command)
  else if (command.do === 'read') await readAtOnce(command.key, command.times)
  else if (command.do === 'write')
    await storage.kv.set(command.key, command.value).then(() => say<Message>({ is: 'written' }))
  else break
}
await storage.close()

async function readAtOnce(key: string, times: number): Promise<void> {
  const before = (await storage.stats()).cache.loads
  const values = await Promise.all(Array.from({ length: times }, () => storage.kv.get(key)))
  say<Message>({ is: 'read', loads: (await storage.stats()).cache.loads - before, values: [...new Set(values)] })
}

async function trial({ variant, prefix, rows, own, reads, writes, pauseMillis, maxMillis }: Trial): Promise<void> {
  const cache = variant === 'ours' ? undefined : await openCacheStore(prefix)
  const reader = variant !== 'ours' && cache ? variants[variant](cache) : ours(storage)
  const deadline = performance.now() + maxMillis
  let history: History = { writes: [], reads: [] }
  let made = 0
  let written = 0
  const continues = () => (made < reads || written < writes) && performance.now() < deadline

  const write = async (row: number) => {
    for (let version = 1; continues(); version++) {
      const id = `${prefix}${row}`
      if (version % 4 === 0) await storage.transaction((tx) => tx.kv.set(id, version))
      else await storage.kv.set(id, version)
      await reader.written('kv', { id, version })
      history.writes.push(row, version, now())
      written++
      await sleep(Math.random() * pauseMillis)
    }
  }
  const read = async () => {
    while (continues()) {
      const row = Math.floor(Math.random() * rows)
      const id = `${prefix}${row}`
      const begun = now()
      const found = await reader.read('kv', id, async () => {
        const version = (await storage.kv.getMany([id])).get(id) // getMany() bypasses the cache of the storage
        return version === undefined ? undefined : { id, version: Number(version) }
      })
      history.reads.push(row, found?.version ?? 0, begun)
      if (++made % 20 === 0) await turn()
      if (made % 10_000 === 0) {
        say<Message>({ is: 'history', history, over: false, warnings })
        history = { writes: [], reads: [] }
      }
    }
  }
  await Promise.all([...own.map(write), ...Array.from({ length: 16 }, read)])
  await cache?.close()
  say<Message>({ is: 'history', history, over: true, warnings })
}

/** Opens a cache store for a variant, on the server that the storage uses. */
async function openCacheStore(keyPrefix: string) {
  const { cache } = resolveConfig(config)
  return cache.type === 'redis' ? RedisCacheStore.open({ ...cache, keyPrefix }) : new MemoryCacheStore(cache)
}

/** Reads through the cache of the storage. */
function ours({ kv }: Storage): RowReader {
  return {
    async read(_table, id) {
      const version = await kv.get(id)
      return version === undefined ? undefined : { id, version: Number(version) }
    },
    written: async () => {},
  }
}

/** Returns the milliseconds of the monotonic clock, which all processes share. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
