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

const listSchema = z.strictObject({
  tags: tagsSchema.optional(),
  match: z.enum(['any', 'all']).optional(),
  source: sourceSchema.optional(),
  pinned: z.boolean().optional(),
  ...pageSchema.shape,
})

type Row = Omit<Memory, 'tags'>

/** The metadata is the truth; what can be filtered by is copied out of it with every write. */
interface Filterable {
  source: MemorySource | null
  pinned: boolean
}

function filterable(metadata: JsonObject): Filterable {
  const { source = null, pinned = false } = knownMetadataSchema.parse(metadata)
  return { source, pinned }
}

const insertMemory = statement(({ orm, tables }, arg: Row & Filterable) => {
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

const writeMemory = statement(
  ({ orm, tables: { memories: m } }, arg: Pick<Row, 'id' | 'content' | 'metadata'> & Filterable) =>
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

  /** Keeps a memory under a new id; one round trip. Not safe to repeat: that keeps it twice. Errors: INVALID_INPUT. */
  async create(memory: MemoryInput): Promise<Memory> {
    const { content, tags = [], metadata = {} } = parseInput(memoryInputSchema, memory, 'memory')
    const now = this.#context.now()
    const row = { id: orderedId(now), content, metadata, createdAt: now, updatedAt: now }
    const insert = insertMemory.with({ ...row, ...filterable(metadata) })
    const created = await written(this.#db, row.id, [insert, ...tagCalls(row, tags)])
    this.#context.onMemoryCreated()
    return created
  }

  /** The memory, or undefined. */
  async get(id: string): Promise<Memory | undefined> {
    parseInput(idSchema, id, 'id')
    return selectMemory.first(this.#db, { id })
  }

  /**
   * Changes what is given: the content; the tags, all of them; the metadata's properties, of which one that is
   * undefined is removed. Atomic: concurrent updates of different properties lose nothing. Safe to repeat.
   * Errors: NOT_FOUND, INVALID_INPUT.
   */
  async update(id: string, patch: MemoryPatch): Promise<Memory> {
    parseInput(idSchema, id, 'id')
    const { content, tags, metadata = {} } = parseInput(memoryPatchSchema, patch, 'patch')
    const updated = await this.#db.transaction(async (tx) => {
      const locked = await lockMemory.first(tx, { id, updatedAt: this.#context.now() })
      if (locked === undefined) return undefined
      const merged = mergeJson(locked.metadata, metadata)
      const write = { id, content: content ?? locked.content, metadata: merged, ...filterable(merged) }
      const replaced = tags ? [deleteTags.with({ id }), ...tagCalls({ ...locked, id }, tags)] : []
      return written(tx, id, [writeMemory.with(write), ...replaced])
    })
    if (updated === undefined) throw new StorageError('NOT_FOUND', 'There is no such memory', { details: { id } })
    return updated
  }

  /** Whether there was one. Safe to repeat. */
  async delete(id: string): Promise<boolean> {
    parseInput(idSchema, id, 'id')
    return (await deleteMemory.first(this.#db, { id })) !== undefined
  }

  /** Memories that fit all the given filters, the newest first. */
  async list(options: ListMemoriesOptions = {}): Promise<Page<Memory>> {
    const { tags = [], match = 'any', source, pinned, ...page } = parseInput(listSchema, options, 'options')
    return listMemories(this.#db, { tags, match, source, pinned }, page)
  }
}

function tagCalls({ id, createdAt }: Pick<Row, 'id' | 'createdAt'>, tags: readonly string[]) {
  return insertTags.with(tags.map((tag, position) => ({ memoryId: id, tag, position, createdAt })))
}

/** Runs the calls and reads the memory back, in one flight. */
async function written(db: Db, id: string, calls: Call<unknown>[]): Promise<Memory> {
  const results = await batch(db, [...calls, selectMemory.with({ id })])
  return results.at(-1)?.[0] as Memory // the select is the last
}
