import { and, eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { ownerOfNames } from '../database/owner.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import type { Page, PageOptions } from '../database/paging/page.ts'
import { prefixFilters, prefixPageSchema, prefixRange } from '../database/paging/prefix-range.ts'
import { type Builder, statement } from '../database/statement.ts'
import type { Tables } from '../schema/tables.ts'
import type { Given, Json, JsonObject } from '../schema/values.ts'
import { keySchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonObjectSchema, jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

/** A stored prompt. */
export interface Prompt<Content = Json, Metadata extends object = JsonObject> {
  name: string
  content: Content
  description: string | null
  metadata: Metadata
  /** Counts the saves under this name since the prompt was created, from 1. */
  version: number
  createdAt: Date
  updatedAt: Date
}

export const promptInputSchema = z.strictObject({
  name: keySchema,
  content: jsonSchema,
  description: z.optional(z.nullable(textSchema({ max: 10_000 }))),
  metadata: z.optional(jsonObjectSchema),
})

export interface PromptInput<Content = Json, Metadata extends object = JsonObject> {
  /** 1 to 1024 bytes. */
  name: string
  /** Any JSON, such as a text or an array of messages. */
  content: Given<Content, Json, unknown>
  /** Up to 10,000 characters. Default null. */
  description?: string | null | undefined
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
}

export interface ListPromptsOptions extends PageOptions {
  /** Only prompts whose name begins with this text. Default: all prompts. */
  prefix?: string | undefined
}

interface PromptWrite {
  name: string
  content: Json
  description: string | null
  metadata: JsonObject
  now: Date
}

/** Lists the columns of a `Prompt`. */
const promptColumns = ({ prompts: p }: Tables) => ({
  name: p.name,
  content: p.content,
  description: p.description,
  metadata: p.metadata,
  version: p.version,
  createdAt: p.createdAt,
  updatedAt: p.updatedAt,
})

const isOwn = (db: Builder) => eq(db.tables.prompts.ownerId, ownerOfNames(db))

const isPrompt = (db: Builder, name: string) => and(isOwn(db), eq(db.tables.prompts.name, name))

const upsertPrompt = statement((db, { name, content, description, metadata, now }: PromptWrite) => {
  const { prompts: p } = db.tables
  const row = { ownerId: ownerOfNames(db), name, content, description, metadata }
  return db.orm
    .insert(p)
    .values({ ...row, version: 1, createdAt: now, updatedAt: now })
    .onConflictDoUpdate({
      target: [p.ownerId, p.name],
      set: { content, description, metadata, version: sql`${p.version} + 1`, updatedAt: now },
    })
    .returning(promptColumns(db.tables))
})

const selectPrompt = statement((db, arg: { name: string }) =>
  db.orm.select(promptColumns(db.tables)).from(db.tables.prompts).where(isPrompt(db, arg.name)),
)

const deletePrompt = statement((db, arg: { name: string }) => {
  const { prompts } = db.tables
  return db.orm.delete(prompts).where(isPrompt(db, arg.name)).returning({ name: prompts.name })
})

const listPrompts = pagedQuery({
  name: 'prompts',
  select: ({ orm, tables }) => orm.select(promptColumns(tables)).from(tables.prompts),
  visible: isOwn,
  filters: prefixFilters(({ prompts }) => prompts.name),
  orderBy: [{ name: 'name', kind: 'text', column: ({ prompts }) => prompts.name }],
})

/** Prompts: named texts or other JSON, with a version that counts their saves. */
export class Prompts {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Creates the prompt of this name, or replaces all its fields. Safe to repeat, though each call raises the version.
   *
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * await storage.prompts.save({ name: 'travel/book', content: 'You book trains.' })
   * const { version } = await storage.prompts.save({ name: 'travel/book', content: 'You book trains and ferries.' })
   * console.log(version) // 2
   * ```
   */
  save<Content = Json, Metadata extends object = JsonObject>(
    prompt: PromptInput<Content, Metadata>,
  ): Promise<Prompt<Content, Metadata>>
  async save(prompt: PromptInput): Promise<Prompt> {
    const { name, content, description = null, metadata = {} } = parseInput(promptInputSchema, prompt, 'prompt')
    const write = { name, content, description, metadata, now: this.#context.now() }
    const saved = await this.#context.cache.write([['prompts', name]], (db = this.#db) => upsertPrompt.first(db, write))
    return saved as Prompt // an upsert always returns its row
  }

  /**
   * Returns a prompt, or undefined if there is none of this name. Cached.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the name is not valid.
   *
   * @example
   * ```ts
   * await storage.prompts.save({ name: 'travel/book', content: 'You book trains.' })
   * console.log((await storage.prompts.get('travel/book'))?.content) // You book trains.
   * ```
   */
  get<Content = Json, Metadata extends object = JsonObject>(
    name: string,
  ): Promise<Prompt<Content, Metadata> | undefined>
  async get(name: string): Promise<Prompt | undefined> {
    parseInput(keySchema, name, 'name')
    return this.#context.cache.read('prompts', name, (db = this.#db) => selectPrompt.first(db, { name }))
  }

  /**
   * Removes a prompt. Returns true if the prompt existed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the name is not valid.
   *
   * @example
   * ```ts
   * await storage.prompts.save({ name: 'travel/book', content: 'You book trains.' })
   * console.log(await storage.prompts.delete('travel/book')) // true
   * ```
   */
  async delete(name: string): Promise<boolean> {
    parseInput(keySchema, name, 'name')
    const deleted = await this.#context.cache.write([['prompts', name]], (db = this.#db) =>
      deletePrompt.first(db, { name }),
    )
    return deleted !== undefined
  }

  /**
   * Returns a page of prompts in the byte order of their names.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.prompts.save({ name: 'travel/book', content: 'You book trains.' })
   * const { items } = await storage.prompts.list({ prefix: 'travel/' })
   * console.log(items.map(({ name }) => name)) // [ 'travel/book' ]
   * ```
   */
  list<Content = Json, Metadata extends object = JsonObject>(
    options?: ListPromptsOptions,
  ): Promise<Page<Prompt<Content, Metadata>>>
  async list(options: ListPromptsOptions = {}): Promise<Page<Prompt>> {
    const { prefix, ...page } = parseInput(prefixPageSchema, options, 'options')
    return listPrompts(this.#db, prefixRange(prefix), page, 'asc')
  }
}
