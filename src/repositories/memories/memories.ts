import { eq } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { type Page, pageSchema } from '../../database/paging/page.ts'
import { batch, type Call, rowsStatement, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject, MemorySource } from '../../schema/values.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import { mergeJson } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { orderedId } from '../ordered-id.ts'
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
  tags: tagsSchema.optional(),
  match: z.enum(['any', 'all']).optional(),
  source: sourceSchema.optional(),
  pinned: z.boolean().optional(),
  ...pageSchema.shape,
})

type MemoryRow = Omit<Memory, 'tags'>

/** The columns that a list filters by. Every write copies them out of the metadata, which is the truth. */
interface FilterColumns {
  source: MemorySource | null
  pinned: boolean
}

function filterColumnsOf(metadata: JsonObject): FilterColumns {
  const { source = null, pinned = false } = knownMetadataSchema.parse(metadata)
  return { source, pinned }
}

const insertMemory = statement(({ orm, tables }, arg: MemoryRow & FilterColumns) => {
  const { id, content, metadata, source, pinned, createdAt, updatedAt } = arg
  return orm.insert(tables.memories).values({ id, content, metadata, source, pinned, createdAt, updatedAt })
})

const insertTags = rowsStatement(
  ({ orm, tables }, rows: { memoryId: string; tag: string; position: number; createdAt: Date }[]) =>
    orm
      .insert(tables.memoryTags)
      .values(rows.map(({ memoryId, tag, position, createdAt }) => ({ memoryId, tag, position, createdAt }))),
)

const deleteTags = statement(({ orm, tables: { memoryTags: t } }, arg: { id: string }) =>
  orm.delete(t).where(eq(t.memoryId, arg.id)),
)

const selectMemory = statement(({ orm, tables }, arg: { id: string }) =>
  orm.select(memoryColumns(tables)).from(tables.memories).where(eq(tables.memories.id, arg.id)),
)

const lockMemory = statement(({ orm, tables: { memories: m } }, arg: { id: string; updatedAt: Date }) =>
  orm.update(m).set({ updatedAt: arg.updatedAt }).where(eq(m.id, arg.id)).returning({
    content: m.content,
    metadata: m.metadata,
    createdAt: m.createdAt,
  }),
)

const updateRow = statement(
  ({ orm, tables: { memories: m } }, arg: Pick<MemoryRow, 'id' | 'content' | 'metadata'> & FilterColumns) =>
    orm
      .update(m)
      .set({ content: arg.content, metadata: arg.metadata, source: arg.source, pinned: arg.pinned })
      .where(eq(m.id, arg.id)),
)

const deleteMemory = statement(({ orm, tables: { memories } }, arg: { id: string }) =>
  orm.delete(memories).where(eq(memories.id, arg.id)).returning({ id: memories.id }),
)

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
    const created = await writeAndRead(this.#db, row.id, [insert, ...insertTagCalls(row, tags)])
    this.#context.onMemoryCreated()
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
      return writeAndRead(tx, id, [updateRow.with(write), ...tagCalls])
    })
    if (updated === undefined) throw new StorageError('NOT_FOUND', 'There is no such memory', { details: { id } })
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
    const { tags = [], match = 'any', source, pinned, ...page } = parseInput(listOptionsSchema, options, 'options')
    return listMemories(this.#db, { tags, match, source, pinned }, page)
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
