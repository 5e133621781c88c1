import { eq, gte, lt, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { prefixRange } from '../database/paging/prefix-range.ts'
import { statement } from '../database/statement.ts'
import type { Json, JsonObject } from '../schema/values.ts'
import { keySchema, parseInput, prefixSchema, textSchema } from '../validation/input.ts'
import { jsonObjectSchema, jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

export interface Prompt {
  name: string
  content: Json
  description: string | null
  metadata: JsonObject
  /** Counts the saves under this name, from 1. */
  version: number
  createdAt: Date
  updatedAt: Date
}

export const promptInputSchema = z.strictObject({
  name: keySchema,
  content: jsonSchema,
  description: textSchema({ max: 10_000 }).nullable().optional(),
  metadata: jsonObjectSchema.optional(),
})
export interface PromptInput {
  /** 1 to 1024 bytes. */
  name: string
  /** Any JSON: a text, or messages. */
  content: unknown
  description?: string | null | undefined
  metadata?: object | undefined
}

const listSchema = z.strictObject({
  prefix: prefixSchema.optional(),
  ...pageSchema.shape,
})

interface Write {
  name: string
  content: Json
  description: string | null
  metadata: JsonObject
  now: Date
}

const upsertPrompt = statement(
  ({ orm, tables: { prompts: p } }, { name, content, description, metadata, now }: Write) =>
    orm
      .insert(p)
      .values({ name, content, description, metadata, version: 1, createdAt: now, updatedAt: now })
      .onConflictDoUpdate({
        target: p.name,
        set: { content, description, metadata, version: sql`${p.version} + 1`, updatedAt: now },
      })
      .returning(),
)

const selectPrompt = statement(({ orm, tables: { prompts } }, arg: { name: string }) =>
  orm.select().from(prompts).where(eq(prompts.name, arg.name)),
)

const deletePrompt = statement(({ orm, tables: { prompts } }, arg: { name: string }) =>
  orm.delete(prompts).where(eq(prompts.name, arg.name)).returning({ name: prompts.name }),
)

const listPrompts = pagedQuery({
  name: 'prompts',
  select: ({ orm, tables }) => orm.select().from(tables.prompts),
  filters: {
    from: ({ prompts }, from: string) => gte(prompts.name, from),
    before: ({ prompts }, before: string) => lt(prompts.name, before),
  },
  orderBy: [{ name: 'name', kind: 'text', column: ({ prompts }) => prompts.name }],
})

/** Prompts by name. */
export class Prompts {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /** Writes a prompt whole, in the place of the one of this name. Errors: INVALID_INPUT. Safe to repeat, though the version rises. */
  async save(prompt: PromptInput): Promise<Prompt> {
    const { name, content, description = null, metadata = {} } = parseInput(promptInputSchema, prompt, 'prompt')
    const write = { name, content, description, metadata, now: this.#context.now() }
    const saved = await this.#context.cache.write([['prompts', name]], () => upsertPrompt.first(this.#db, write))
    return saved as Prompt // an upsert returns its row
  }

  /** The prompt, or undefined. Cached. */
  async get(name: string): Promise<Prompt | undefined> {
    parseInput(keySchema, name, 'name')
    return this.#context.cache.read('prompts', name, (db = this.#db) => selectPrompt.first(db, { name }))
  }

  /** Whether there was one. Safe to repeat. */
  async delete(name: string): Promise<boolean> {
    parseInput(keySchema, name, 'name')
    const deleted = await this.#context.cache.write([['prompts', name]], () => deletePrompt.first(this.#db, { name }))
    return deleted !== undefined
  }

  /** Prompts in the byte order of their names, those that begin with `prefix`. */
  async list(options: { prefix?: string | undefined } & PageOptions = {}): Promise<Page<Prompt>> {
    const { prefix, ...page } = parseInput(listSchema, options, 'options')
    return listPrompts(this.#db, prefixRange(prefix), page, 'asc')
  }
}
