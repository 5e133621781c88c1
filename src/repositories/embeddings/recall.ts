import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import { anyWordOf, type SearchQuery } from '../../search/query.ts'
import { fuse, type Ranks } from '../../search/ranks.ts'
import { normalised, problemOf, similarityOf, type Vector, vectorOfBytes } from '../../search/vectors.ts'
import { rule } from '../../validation/fast-path.ts'
import { invalidInput, isInteger, textSchema } from '../../validation/input.ts'
import type { Embedding } from '../context.ts'
import { checkSearch } from '../search/page.ts'
import type { Recall, Recalled, RecallMode } from './types.ts'

const MAX_LIMIT = 100
const DEFAULT_LIMIT = 10
/** How many places of each list are merged. */
const DEPTH = 100
/** How many more vectors are compared exactly than are asked for: the databases calculate with fewer digits. */
const SLACK = 16
/** How much of the query is read for its words. */
const WORDS_LENGTH = 1000

export const recallQuerySchema = textSchema({ max: 100_000 })

/** The options that both calls of `recall()` have. */
export const recallShape = {
  mode: z.optional(z.enum(['text', 'vector', 'hybrid'])),
  vector: z.optional(rule<Vector>((value) => typeof value === 'object' && value !== null, 'must be a list of numbers')),
  limit: z.optional(rule<number>(isInteger(1, MAX_LIMIT), `must be an integer from 1 to ${MAX_LIMIT}`)),
  minScore: z.optional(z.number().check(z.gte(-1), z.lte(1))),
}

interface RecallArguments {
  mode?: RecallMode | undefined
  vector?: Vector | undefined
  limit?: number | undefined
  minScore?: number | undefined
}

/** A text with what is stored of its vector. */
export interface Loaded<Item> {
  item: Item
  /** The hash of the text as it is now. */
  textHash: string
  stored: { vector: Uint8Array | null; textHash: string | null }
}

/** How the texts of one kind are found. A key names a text. */
export interface RecallSource<Item> {
  /** Returns the keys of the texts with the most similar vectors. */
  nearest(vector: Float32Array, count: number): Promise<string[]>
  /**
   * Returns the keys of the texts with words of the query, the best first, and whether the full-text index is still being
   * built.
   */
  byWords(
    query: SearchQuery,
    count: number,
  ): Promise<{ found: { key: string; score: number }[]; isIncomplete: boolean }>
  /** Reads texts. One that is gone meanwhile is left out. */
  load(keys: readonly string[]): Promise<Map<string, Loaded<Item>>>
  /** Removes the vector of a text that has changed without it: another program has written. */
  forget(key: string, textHash: string): Promise<void>
}

/** Finds texts by their words, by their meaning, or by both. See `Memories.recall`. */
export async function recall<Item>(
  db: Pick<Db, 'search'>,
  embedding: Embedding | undefined,
  query: string,
  { mode: given, vector, limit = DEFAULT_LIMIT, minScore }: RecallArguments,
  source: RecallSource<Item>,
): Promise<Recall<{ item: Item } & Recalled>> {
  const text = query.trim()
  const mode = given ?? (db.search && text !== '' ? 'hybrid' : 'vector')
  if (mode !== 'vector') checkSearch(db)
  if (mode === 'text' && minScore !== undefined) {
    throw invalidInput([
      { path: 'options.minScore', message: 'is a similarity of meanings, which mode "text" does not look at' },
    ])
  }
  const wanted = mode === 'text' ? undefined : await vectorOf(embedding, text, vector)
  const count = mode === 'hybrid' ? Math.max(DEPTH, limit) : limit
  const [byMeaning, byWords] = await Promise.all([
    wanted === undefined ? undefined : similar(source, wanted, count, minScore),
    mode === 'vector' ? undefined : source.byWords(anyWordOf(text.slice(0, WORDS_LENGTH)), count),
  ])
  const textKeys = byWords?.found.map(({ key }) => key) ?? []
  const textScores = new Map(byWords?.found.map(({ key, score }) => [key, score]))
  const similarities = new Map(byMeaning?.map(({ key, similarity }) => [key, similarity]))
  const fused = fuse({ text: textKeys, vector: byMeaning?.map(({ key }) => key) ?? [] })
  const loaded = new Map(byMeaning?.map(({ key, item }) => [key, item]))
  const top = fused.slice(0, limit)
  const missing = await source.load(top.map(({ key }) => key).filter((key) => !loaded.has(key)))
  const items = top.flatMap(({ key, score, ranks }) => {
    const item = loaded.get(key) ?? missing.get(key)?.item
    if (item === undefined) return []
    const similarity = similarities.get(key)
    const own = mode === 'hybrid' ? score : mode === 'text' ? textScores.get(key) : similarity
    return [{ item, score: own ?? 0, ranks: ranks as Ranks, ...(similarity !== undefined && { similarity }) }]
  })
  const isPartial = (wanted !== undefined && embedding?.hasPending) || byWords?.isIncomplete
  return { items, ...(isPartial && { incomplete: true as const }) }
}

/** Returns the vector that is searched for. */
async function vectorOf(
  embedding: Embedding | undefined,
  text: string,
  given: Vector | undefined,
): Promise<Float32Array | undefined> {
  if (embedding === undefined) {
    const message =
      'Nothing is embedded, so nothing can be recalled by its meaning: open the storage with a model, options.embedding'
    throw new StorageError('INVALID_STATE', message)
  }
  const { model, mayCall } = embedding
  if (given !== undefined) {
    const problem = problemOf(given, model.dimensions)
    if (problem !== undefined) throw invalidInput([{ path: 'options.vector', message: problem }])
    return normalised(given)
  }
  if (!mayCall) {
    const message = 'The model is not called inside a transaction: embed the query before, and pass options.vector'
    throw new StorageError('INVALID_STATE', message)
  }
  const { text: prepared } = model.textOf(text)
  if (prepared === '') return undefined
  return (await model.embed([prepared], 'query'))[0]
}

/** Finds the most similar texts, and computes their similarities exactly: they are the same on every database. */
async function similar<Item>(source: RecallSource<Item>, wanted: Float32Array, count: number, minScore = -1) {
  const keys = await source.nearest(wanted, count + SLACK)
  const loaded = await source.load(keys)
  const found = []
  for (const key of keys) {
    const text = loaded.get(key)
    if (text === undefined || text.stored.vector === null || text.stored.textHash === null) continue
    if (text.stored.textHash !== text.textHash) {
      await source.forget(key, text.stored.textHash)
      continue
    }
    const similarity = similarityOf(vectorOfBytes(text.stored.vector), wanted)
    if (similarity >= minScore) found.push({ key, similarity, item: text.item })
  }
  // Equal ones stay in the order of their keys.
  return found.sort((a, b) => b.similarity - a.similarity).slice(0, count)
}
