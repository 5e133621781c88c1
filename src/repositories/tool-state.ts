import { and, eq, gte, lt } from 'drizzle-orm'
import * as z from 'zod'
import type { RowKey } from '../cache/row-cache.ts'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { prefixRange } from '../database/paging/prefix-range.ts'
import { statement } from '../database/statement.ts'
import type { Json } from '../schema/values.ts'
import { idSchema, keySchema, parseInput, prefixSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

export interface ToolStateEntry {
  tool: string
  key: string
  value: Json
  updatedAt: Date
}

const listSchema = z.strictObject({
  prefix: prefixSchema.optional(),
  ...pageSchema.shape,
})

interface Place {
  tool: string
  key: string
}

const upsertEntry = statement(({ orm, tables: { toolState: s } }, { tool, key, value, updatedAt }: ToolStateEntry) =>
  orm
    .insert(s)
    .values({ tool, key, value, updatedAt })
    .onConflictDoUpdate({ target: [s.tool, s.key], set: { value, updatedAt } })
    .returning(),
)

const selectEntry = statement(({ orm, tables: { toolState: s } }, arg: Place) =>
  orm
    .select()
    .from(s)
    .where(and(eq(s.tool, arg.tool), eq(s.key, arg.key))),
)

const deleteEntry = statement(({ orm, tables: { toolState: s } }, arg: Place) =>
  orm
    .delete(s)
    .where(and(eq(s.tool, arg.tool), eq(s.key, arg.key)))
    .returning({ key: s.key }),
)

const listEntries = pagedQuery({
  name: 'toolState',
  select: ({ orm, tables: { toolState: s } }) => orm.select({ key: s.key }).from(s),
  filters: {
    tool: ({ toolState }, tool: string) => eq(toolState.tool, tool),
    from: ({ toolState }, from: string) => gte(toolState.key, from),
    before: ({ toolState }, before: string) => lt(toolState.key, before),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ toolState }) => toolState.key }],
})

/** What tools keep between their calls: JSON by key, each tool in a namespace of its own. */
export class ToolState {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /** The value, or undefined. Cached. */
  async get(tool: string, key: string): Promise<Json | undefined> {
    const place = parsePlace(tool, key)
    const load = (db = this.#db) => selectEntry.first(db, place)
    return (await this.#context.cache.read(...rowOf(place), load))?.value
  }

  /** Writes a value. Errors: INVALID_INPUT. Safe to repeat. */
  async set(tool: string, key: string, value: unknown): Promise<ToolStateEntry> {
    const place = parsePlace(tool, key)
    const entry = { ...place, value: parseInput(jsonSchema, value, 'value'), updatedAt: this.#context.now() }
    const written = await this.#context.cache.write([rowOf(place)], () => upsertEntry.first(this.#db, entry))
    return written as ToolStateEntry // an upsert returns its row
  }

  /** Whether there was a value. Safe to repeat. */
  async delete(tool: string, key: string): Promise<boolean> {
    const place = parsePlace(tool, key)
    const deleted = await this.#context.cache.write([rowOf(place)], () => deleteEntry.first(this.#db, place))
    return deleted !== undefined
  }

  /**
   * The tool's keys in byte order, those that begin with `prefix`. A prefix is text and nothing else: `user:1` also
   * begins `user:10`; to read what is under `user:1` alone ask for `user:1:`.
   */
  async keys(tool: string, options: { prefix?: string | undefined } & PageOptions = {}): Promise<Page<string>> {
    parseInput(idSchema, tool, 'tool')
    const { prefix, ...page } = parseInput(listSchema, options, 'options')
    const { items, ...rest } = await listEntries(this.#db, { tool, ...prefixRange(prefix) }, page, 'asc')
    return { items: items.map(({ key }) => key), ...rest }
  }
}

function parsePlace(tool: string, key: string): Place {
  return { tool: parseInput(idSchema, tool, 'tool'), key: parseInput(keySchema, key, 'key') }
}

/** No two places have the same. */
function rowOf({ tool, key }: Place): RowKey {
  return ['toolState', JSON.stringify([tool, key])]
}
