import { createHash } from 'node:crypto'
import type { Item, PutOperation } from '@langchain/langgraph-checkpoint'
import { StorageError } from '../errors.ts'
import type { Kv } from '../repositories/kv/kv.ts'
import type { LocatedEntry } from '../repositories/kv/types.ts'
import { invalid } from './invalid.ts'
import { textsAt } from './langgraph-paths.ts'
import { MAX_ITEMS } from './parts.ts'
import { checkPaths, type StoreModel } from './store-model.ts'

/** The namespace of `kv` for the vectors of all items. The key of an entry is a hash of the item's namespace and key. */
const VECTORS = 'langgraph-vectors'
/** Maximum number of items that a query compares. A recall without pgvector has the same limit: both compare in this process. */
const MAX_CANDIDATES = 20_000

type Value = Item['value']
type Ttl = { ttlSeconds: number | undefined }

/** The vectors of an item, as `kv` stores them. */
interface Stored {
  /** The hash of the embedded value. The vectors do not count once a program without the model has written another value. */
  hash: string
  dims: number
  /** Null, which JSON keeps, if the model has no name. */
  model: string | null
  /** The vectors one after the other, float32 and little-endian, in base64. */
  vectors: string
}

/** An entry, with its similarity to the query. */
export interface Ranked {
  entry: LocatedEntry<Value>
  /** Undefined if the entry has no vector of this model. */
  score: number | undefined
}

/** The vectors of the items of a store. */
export class ItemVectors {
  readonly #model: StoreModel

  constructor(model: StoreModel) {
    this.#model = model
  }

  /**
   * Embeds the values of puts. Returns the vectors to store for each put. A put that is not indexed, or has no text, is left out.
   *
   * @throws {EMBEDDING_FAILED} when the model fails
   * @throws {INVALID_INPUT} when the paths of a put are not valid, or its value is no JSON
   */
  async embed(puts: readonly PutOperation[]): Promise<Map<PutOperation, Stored>> {
    // Hash before the model is called: the program may change a value during the call.
    const given = puts.map((put) => ({ put, ...this.#textsOf(put) }))
    const distinct = [...new Set(given.flatMap(({ texts }) => texts))]
    const vectors = distinct.length > 0 ? await this.#model.documents(distinct) : []
    const byText = new Map(distinct.map((text, i) => [text, vectors[i] ?? new Float32Array()])) // a vector for each text
    const stored = new Map<PutOperation, Stored>()
    for (const { put, texts, hash } of given) {
      if (texts.length === 0) continue
      const bytes = Buffer.concat(texts.map((text) => bytesOf(byText.get(text) ?? new Float32Array())))
      const { dims, name } = this.#model
      stored.set(put, { hash, dims, model: name, vectors: bytes.toString('base64') })
    }
    return stored
  }

  #textsOf({ value, index }: PutOperation): { texts: string[]; hash: string } {
    if (value === null || index === false) return { texts: [], hash: '' }
    const paths = index ?? this.#model.fields
    checkPaths(paths, 'index')
    try {
      const texts = paths.flatMap((path) => textsAt(value, path)).filter((text) => text.trim() !== '')
      return { texts, hash: hashOf(value) }
    } catch {
      throw invalid('value', 'must be JSON')
    }
  }

  /**
   * Returns up to `count` entries of `list`: the most similar to the vector `wanted` first, and after them entries without a
   * vector of this model. Compares every vector. Equally similar entries keep their order. `list` reads below the namespace
   * `prefix`.
   *
   * @throws {INVALID_STATE} when more than 20,000 items are listed
   */
  async rank(
    kv: Kv,
    wanted: Float32Array,
    list: (page: { limit: number; cursor?: string }) => Promise<{ items: LocatedEntry<Value>[]; nextCursor?: string }>,
    prefix: readonly string[],
    count: number,
  ): Promise<Ranked[]> {
    const vectors = kv.namespace(VECTORS)
    let best: Ranked[] = []
    const others: Ranked[] = []
    let seen = 0
    for (let cursor: string | undefined; ; ) {
      const page = await list({ limit: MAX_ITEMS, ...(cursor !== undefined && { cursor }) })
      seen += page.items.length
      if (seen > MAX_CANDIDATES) throw tooMany()
      const keys = page.items.map((entry) => vectorKeyOf([...prefix, ...entry.namespace], entry.key))
      const stored = await vectors.getMany<Stored>(keys)
      for (const [i, entry] of page.items.entries()) {
        const score = this.#scoreOf(entry.value, stored.get(keys[i] ?? ''), wanted)
        if (score !== undefined) best.push({ entry, score })
        else if (others.length < count) others.push({ entry, score })
      }
      best = best.sort((a, b) => (b.score ?? 0) - (a.score ?? 0)).slice(0, count)
      cursor = page.nextCursor
      if (cursor === undefined) return [...best, ...others].slice(0, count)
    }
  }

  /** Returns the similarity of an item's most similar vector. Undefined if no vector is of this model and the current value. */
  #scoreOf(value: Value, stored: Stored | undefined, wanted: Float32Array): number | undefined {
    const { dims, name } = this.#model
    if (stored === undefined || stored.dims !== dims || stored.model !== name || stored.hash !== hashOf(value))
      return undefined
    const bytes = Buffer.from(stored.vectors, 'base64')
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let best: number | undefined
    for (let start = 0; start + 4 * dims <= bytes.byteLength; start += 4 * dims) {
      let sum = 0
      for (let i = 0; i < dims; i++) sum += view.getFloat32(start + 4 * i, true) * (wanted[i] ?? 0)
      if (best === undefined || sum > best) best = sum
    }
    return best
  }
}

/**
 * Writes up to 1000 items of one namespace, and their vectors. Removes the vectors of an item without an entry in `stored`. Call
 * within a transaction. The calls are sent together and run in this order: the row of an item is locked before the row of its
 * vectors.
 */
export async function putWithVectors(
  kv: Kv,
  items: Kv,
  puts: readonly PutOperation[],
  stored: ReadonlyMap<PutOperation, Stored>,
  options: Ttl,
): Promise<void> {
  const vectors = kv.namespace(VECTORS)
  const unindexed = puts.filter((put) => !stored.has(put))
  const indexed = puts.flatMap((put) => {
    const own = stored.get(put)
    return own === undefined ? [] : [[vectorKeyOf(put.namespace, put.key), own] as const]
  })
  const values = puts.map(({ key, value }) => [key, value] as const)
  await Promise.all([
    setAll(items, values, options),
    setAll(vectors, indexed, options),
    deleteAll(
      vectors,
      unindexed.map(({ namespace, key }) => vectorKeyOf(namespace, key)),
    ),
  ])
}

/**
 * Removes up to 1000 items of one namespace, and their vectors. Call within a transaction. Each item is written first: only a row
 * that exists can be locked, and without the lock a concurrent put could lose its vectors.
 */
export async function deleteWithVectors(kv: Kv, items: Kv, puts: readonly PutOperation[]): Promise<void> {
  const keys = puts.map(({ key }) => key)
  await Promise.all([
    setAll(
      items,
      keys.map((key) => [key, null] as const),
    ),
    deleteAll(items, keys),
    deleteAll(
      kv.namespace(VECTORS),
      puts.map(({ namespace, key }) => vectorKeyOf(namespace, key)),
    ),
  ])
}

// Within a transaction, calls for a single entry share one round trip. A call for many entries takes a round trip of its own.

async function setAll(kv: Kv, values: readonly (readonly [string, unknown])[], options?: Ttl): Promise<void> {
  const [one] = values
  if (one === undefined || values.length > 1) await kv.setMany(values, options)
  else await kv.set<unknown>(one[0], one[1], options)
}

async function deleteAll(kv: Kv, keys: readonly string[]): Promise<void> {
  const [one] = keys
  if (one === undefined || keys.length > 1) await kv.deleteMany(keys)
  else await kv.delete(one)
}

function vectorKeyOf(namespace: readonly string[], key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([...namespace, key]))
    .digest('base64url')
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22)
}

function bytesOf(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [i, number] of vector.entries()) bytes.writeFloatLE(number, i * 4)
  return bytes
}

function tooMany(): StorageError<'INVALID_STATE'> {
  const message =
    `More than ${MAX_CANDIDATES} items would have to be compared in this process: search below a longer namespace, ` +
    'or with a filter'
  return new StorageError('INVALID_STATE', message)
}
