import { and, eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { isOwn, isVisible, ownerOfNames } from '../../database/owner.ts'
import { type Page, pageSchema } from '../../database/paging/page.ts'
import { type Builder, batch, type Call, rowsStatement, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject, MemorySource } from '../../schema/values.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import { mergeJson } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { vectorsOfChangedMemory } from '../embeddings/carry.ts'
import { recallQuerySchema } from '../embeddings/recall.ts'
import { recallMemories, recallMemoriesSchema } from '../embeddings/recall-memories.ts'
import type { Recall, RecalledMemory, RecallMemoriesOptions } from '../embeddings/types.ts'
import { orderedId } from '../ordered-id.ts'
import { searchMemories, searchMemoriesSchema } from '../search/memories.ts'
import { entryOfChanged, entryOfNew } from '../search/memory-entries.ts'
import type { MemoryHit, SearchMemoriesOptions, SearchPage } from '../search/types.ts'
import { listMemories, memoryColumns } from './list.ts'
import {
  knownMetadataSchema,
  type ListMemoriesOptions,
  type Memory,
  type MemoryInput,
  type MemoryPatch,
  memoryInputSchema,
  memoryPatchSchema,
  sourceSchema,
  tagsSchema,
} from './types.ts'

const listOptionsSchema = z.strictObject({
  tags: z.optional(tagsSchema),
  match: z.optional(z.enum(['any', 'all'])),
  source: z.optional(sourceSchema),
  pinned: z.optional(z.boolean()),
  ownerId: z.optional(idSchema),
  ...pageSchema.shape,
})

type MemoryRow = Omit<Memory, 'tags' | 'ownerId'>

/** The columns that a list filters by. Every write copies them out of the metadata, which is the truth. */
interface FilterColumns {
  source: MemorySource | null
  pinned: boolean
}

function filterColumnsOf(metadata: JsonObject): FilterColumns {
  const { source = null, pinned = false } = knownMetadataSchema.parse(metadata)
  return { source, pinned }
}

const insertMemory = statement((db: Builder, arg: MemoryRow & FilterColumns) => {
  const { id, content, metadata, source, pinned, createdAt, updatedAt } = arg
  const ownerId = ownerOfNames(db)
  return db.orm
    .insert(db.tables.memories)
    .values({ id, ownerId, content, metadata, source, pinned, createdAt, updatedAt })
})

/** Copies the owner from the memory: a handle without an owner may tag anybody's memory. */
const insertTags = rowsStatement(
  (db: Builder, rows: { memoryId: string; tag: string; position: number; createdAt: Date }[]) => {
    const { memories: m, memoryTags } = db.tables
    return db.orm.insert(memoryTags).values(
      rows.map(({ memoryId, tag, position, createdAt }) => {
        const ownerId = db.owner ?? sql`(select ${m.ownerId} from ${m} where ${eq(m.id, memoryId)})`
        return { memoryId, ownerId, tag, position, createdAt }
      }),
    )
  },
)

const deleteTags = statement((db: Builder, arg: { id: string }) => {
  const { memoryTags: t } = db.tables
  return db.orm.delete(t).where(and(eq(t.memoryId, arg.id), isOwn(db, t)))
})

const selectMemory = statement((db: Builder, arg: { id: string }) =>
  db.orm.select(memoryColumns(db)).from(db.tables.memories).where(isMemory(db, arg.id)),
)

const lockMemory = statement((db: Builder, arg: { id: string; updatedAt: Date }) => {
  const { memories: m } = db.tables
  return db.orm.update(m).set({ updatedAt: arg.updatedAt }).where(isMemory(db, arg.id)).returning({
    content: m.content,
    metadata: m.metadata,
    createdAt: m.createdAt,
  })
})

const updateMemory = statement((db: Builder, arg: Pick<MemoryRow, 'id' | 'content' | 'metadata'> & FilterColumns) =>
  db.orm
    .update(db.tables.memories)
    .set({ content: arg.content, metadata: arg.metadata, source: arg.source, pinned: arg.pinned })
    .where(isMemory(db, arg.id)),
)

const deleteMemory = statement((db: Builder, arg: { id: string }) =>
  db.orm.delete(db.tables.memories).where(isMemory(db, arg.id)).returning({ id: db.tables.memories.id }),
)

function isMemory(db: Builder, id: string) {
  return and(eq(db.tables.memories.id, id), isVisible(db, db.tables.memories))
}

/** What an agent remembers beyond a conversation. */
export class Memories {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Stores a memory under a new id. One round trip. Not safe to repeat: the memory would be stored twice.
   *
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const memory = await storage.memories.create({ content: 'Ada likes window seats', tags: ['travel', 'ada'] })
   * console.log(memory.tags) // [ 'travel', 'ada' ]
   * ```
   */
  create<Metadata extends object = JsonObject>(memory: MemoryInput<Metadata>): Promise<Memory<Metadata>>
  async create(memory: MemoryInput): Promise<Memory> {
    const { content, tags = [], metadata = {} } = parseInput(memoryInputSchema, memory, 'memory')
    const now = this.#context.now()
    const row = { id: orderedId(now), content, metadata, createdAt: now, updatedAt: now }
    const insert = insertMemory.with({ ...row, ...filterColumnsOf(metadata) })
    const created = await writeAndRead(this.#db, row.id, [
      insert,
      ...entryOfNew(this.#db, row),
      ...insertTagCalls(row, tags),
    ])
    this.#context.onMemoryCreated()
    this.#context.embedding?.written({ memoryId: row.id })
    return created
  }

  /**
   * Returns a memory, or undefined if there is none.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.memories.create({ content: 'Ada likes window seats' })
   * console.log((await storage.memories.get(id))?.content) // Ada likes window seats
   * ```
   */
  get<Metadata extends object = JsonObject>(id: string): Promise<Memory<Metadata> | undefined>
  async get(id: string): Promise<Memory | undefined> {
    parseInput(idSchema, id, 'id')
    return selectMemory.first(this.#db, { id })
  }

  /**
   * Changes the content and replaces the tags, if they are given. Sets the given metadata properties, and removes those
   * that are given as undefined. Atomic: concurrent updates of different properties lose nothing. Safe to repeat.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when there is no such memory.
   * @throws {INVALID_INPUT} when the id or a field is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.memories.create({ content: 'Ada likes window seats', tags: ['travel'] })
   * const updated = await storage.memories.update(id, { metadata: { source: 'user', pinned: true } })
   * console.log(updated.tags, updated.metadata) // [ 'travel' ] { source: 'user', pinned: true }
   * ```
   */
  update<Metadata extends object = JsonObject>(id: string, patch: MemoryPatch<Metadata>): Promise<Memory<Metadata>>
  async update(id: string, patch: MemoryPatch): Promise<Memory> {
    parseInput(idSchema, id, 'id')
    const { content, tags, metadata = {} } = parseInput(memoryPatchSchema, patch, 'patch')
    const updated = await this.#db.transaction(async (tx) => {
      const locked = await lockMemory.first(tx, { id, updatedAt: this.#context.now() })
      if (locked === undefined) return undefined
      const merged = mergeJson(locked.metadata, metadata)
      const write = { id, content: content ?? locked.content, metadata: merged, ...filterColumnsOf(merged) }
      const tagCalls = tags ? [deleteTags.with({ id }), ...insertTagCalls({ ...locked, id }, tags)] : []
      return writeAndRead(tx, id, [
        updateMemory.with(write),
        ...entryOfChanged(tx, { id, content }),
        ...vectorsOfChangedMemory({ id, content }),
        ...tagCalls,
      ])
    })
    if (updated === undefined) throw new StorageError('NOT_FOUND', 'There is no such memory', { details: { id } })
    if (content !== undefined) this.#context.embedding?.written({ memoryId: id })
    return updated
  }

  /**
   * Removes a memory. Returns true if it existed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.memories.create({ content: 'Ada likes window seats' })
   * console.log(await storage.memories.delete(id)) // true
   * ```
   */
  async delete(id: string): Promise<boolean> {
    parseInput(idSchema, id, 'id')
    return (await deleteMemory.first(this.#db, { id })) !== undefined
  }

  /**
   * Returns a page of the memories that match all given filters, the newest first.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.memories.create({ content: 'Ada likes window seats', tags: ['travel', 'ada'] })
   * const { items } = await storage.memories.list({ tags: ['travel', 'ada'], match: 'all' })
   * console.log(items.length) // 1
   * ```
   */
  list<Metadata extends object = JsonObject>(options?: ListMemoriesOptions): Promise<Page<Memory<Metadata>>>
  async list(options: ListMemoriesOptions = {}): Promise<Page<Memory>> {
    const { limit, cursor, ...given } = parseInput(listOptionsSchema, options, 'options')
    const { tags = [], match = 'any', source, pinned, ownerId } = given
    return listMemories(this.#db, { tags, match, source, pinned, ownerId }, { limit, cursor })
  }

  /**
   * Returns a page of the memories that the query finds, the newest first unless `order` is 'relevance'. The query is made of
   * words that must all occur, "a phrase", word*, a OR b, -word. Needs `database.options.search`.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_STATE} when the search is switched off.
   * @throws {INVALID_INPUT} when the query or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.memories.create({ content: 'Ada likes window seats' })
   * const { items } = await storage.memories.search('"window seat" OR seats')
   * console.log(items[0]?.memory.content) // Ada likes window seats
   * ```
   */
  search<Metadata extends object = JsonObject>(
    query: string,
    options?: SearchMemoriesOptions,
  ): Promise<SearchPage<MemoryHit<Metadata>>>
  async search(query: string, options: SearchMemoriesOptions = {}): Promise<SearchPage<MemoryHit>> {
    return searchMemories(this.#db, query, parseInput(searchMemoriesSchema, options, 'options'))
  }

  /**
   * Returns the memories that fit the query best, by their meaning, by their words, or by both: see `mode`. The query is what
   * a person would ask. The best comes first, and there are no further pages: it is a ranking, not a list. Needs a model,
   * `options.embedding` of `openStorage`, except for `mode: 'text'`. What was written a moment ago may not be embedded yet:
   * then the result is `incomplete`, and `storage.embedPending()` waits for it.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_STATE} when the storage has no model, when the mode needs the search and that is switched off, inside a
   *   transaction without `vector`, or when PostgreSQL would have to compare too many vectors without pgvector.
   * @throws {EMBEDDING_FAILED} when the model cannot embed the query.
   * @throws {INVALID_INPUT} when the query or an option is not valid, such as a vector of other dimensions.
   *
   * @example
   * ```ts
   * import { openStorage } from 'holdfast'
   * import { wordEmbedding } from 'holdfast/testing'
   * await using agent = await openStorage({}, { embedding: wordEmbedding() })
   * await agent.memories.create({ content: 'Ada likes window seats' })
   * await agent.embedPending()
   * const { items } = await agent.memories.recall('Which seats does Ada like?')
   * console.log(items[0]?.memory.content) // Ada likes window seats
   * ```
   */
  recall<Metadata extends object = JsonObject>(
    query: string,
    options?: RecallMemoriesOptions,
  ): Promise<Recall<RecalledMemory<Metadata>>>
  async recall(query: string, options: RecallMemoriesOptions = {}): Promise<Recall<RecalledMemory>> {
    const text = parseInput(recallQuerySchema, query, 'query')
    const given = parseInput(recallMemoriesSchema, options, 'options')
    return recallMemories(this.#db, this.#context.embedding, text, given)
  }
}

function insertTagCalls({ id, createdAt }: Pick<MemoryRow, 'id' | 'createdAt'>, tags: readonly string[]) {
  return insertTags.with(tags.map((tag, position) => ({ memoryId: id, tag, position, createdAt })))
}

/** Runs the calls and reads the memory back, in one batch. */
async function writeAndRead(db: Db, id: string, calls: Call<unknown>[]): Promise<Memory> {
  const results = await batch(db, [...calls, selectMemory.with({ id })])
  return results.at(-1)?.[0] as Memory // the select is the last
}
