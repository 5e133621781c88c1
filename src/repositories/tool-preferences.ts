import { and, eq, inArray } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { statement } from '../database/statement.ts'
import type { ToolPreferenceSet } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import type { RepositoryContext } from './context.ts'
import { GLOBAL_SCOPE, scopeOf } from './scope.ts'

export type { ToolPreferenceSet }

const toolsSchema = z.array(idSchema).max(1000)

export const toolPreferencesInputSchema = z.strictObject({
  autoApproved: toolsSchema.optional(),
  disabled: toolsSchema.optional(),
})
/** Lists of tools, empty unless given. */
export type ToolPreferencesInput = { [K in keyof ToolPreferenceSet]?: ToolPreferenceSet[K] | undefined }

const listSchema = z.strictObject({
  sessionId: idSchema.optional(),
  ...pageSchema.shape,
})

interface Allowed {
  scope: string
  tool: string
}

const insertAllowed = statement(({ orm, tables }, { scope, tool, createdAt }: Allowed & { createdAt: Date }) =>
  orm.insert(tables.allowedTools).values({ scope, tool, createdAt }).onConflictDoNothing(),
)

const deleteAllowed = statement(({ orm, tables: { allowedTools: a } }, arg: Allowed) =>
  orm
    .delete(a)
    .where(and(eq(a.scope, arg.scope), eq(a.tool, arg.tool)))
    .returning({ tool: a.tool }),
)

const selectAllowed = statement(({ orm, tables: { allowedTools: a } }, arg: Allowed) =>
  orm
    .select({ scope: a.scope })
    .from(a)
    .where(and(inArray(a.scope, [arg.scope, GLOBAL_SCOPE]), eq(a.tool, arg.tool))),
)

const listAllowed = pagedQuery({
  name: 'allowedTools',
  select: ({ orm, tables: { allowedTools: a } }) => orm.select({ tool: a.tool }).from(a),
  filters: { scope: ({ allowedTools }, scope: string) => eq(allowedTools.scope, scope) },
  orderBy: [{ name: 'tool', kind: 'text', column: ({ allowedTools }) => allowedTools.tool }],
})

interface Preferences {
  scope: string
  preferences: ToolPreferenceSet
  updatedAt: Date
}

const upsertPreferences = statement(({ orm, tables }, { scope, preferences, updatedAt }: Preferences) =>
  orm
    .insert(tables.toolPreferences)
    .values({ scope, preferences, updatedAt })
    .onConflictDoUpdate({ target: tables.toolPreferences.scope, set: { preferences, updatedAt } }),
)

const selectPreferences = statement(({ orm, tables: { toolPreferences: p } }, arg: { scope: string }) =>
  orm.select().from(p).where(eq(p.scope, arg.scope)),
)

const deletePreferences = statement(({ orm, tables: { toolPreferences: p } }, arg: { scope: string }) =>
  orm.delete(p).where(eq(p.scope, arg.scope)).returning({ scope: p.scope }),
)

/** Which tools may run: allowed ones a row each, for a session or everywhere, and what a session prefers. */
export class ToolPreferences {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /** Allows a tool in a session, or everywhere. Safe to repeat. Errors: INVALID_INPUT. */
  async allow(tool: string, sessionId?: string): Promise<void> {
    await insertAllowed.all(this.#db, { ...parseAllowed(tool, sessionId), createdAt: this.#context.now() })
  }

  /** Takes back what `allow` did with the same arguments; whether it had. Safe to repeat. */
  async disallow(tool: string, sessionId?: string): Promise<boolean> {
    return (await deleteAllowed.first(this.#db, parseAllowed(tool, sessionId))) !== undefined
  }

  /** Whether the tool is allowed in the session or, failing that, everywhere; without a session, everywhere. One query. */
  async isAllowed(tool: string, sessionId?: string): Promise<boolean> {
    return (await selectAllowed.first(this.#db, parseAllowed(tool, sessionId))) !== undefined
  }

  /** The tools allowed in a session itself, or everywhere, in byte order. */
  async listAllowed(options: { sessionId?: string | undefined } & PageOptions = {}): Promise<Page<string>> {
    const { sessionId, ...page } = parseInput(listSchema, options, 'options')
    const { items, ...rest } = await listAllowed(this.#db, { scope: scopeOf(sessionId) }, page, 'asc')
    return { items: items.map(({ tool }) => tool), ...rest }
  }

  /** The preferences of a session, or the global ones; undefined where there are none. A session's do not fall back to the global. Cached. */
  async getPreferences(sessionId?: string): Promise<ToolPreferenceSet | undefined> {
    const scope = scopeOf(sessionId)
    const load = (db = this.#db) => selectPreferences.first(db, { scope })
    return (await this.#context.cache.read('toolPreferences', scope, load))?.preferences
  }

  /** Writes the preferences of a session, or the global ones, whole. Errors: INVALID_INPUT. Safe to repeat. */
  async setPreferences(preferences: ToolPreferencesInput, sessionId?: string): Promise<ToolPreferenceSet> {
    const scope = scopeOf(sessionId)
    const { autoApproved = [], disabled = [] } = parseInput(toolPreferencesInputSchema, preferences, 'preferences')
    const lists = { autoApproved, disabled }
    const row = { scope, preferences: lists, updatedAt: this.#context.now() }
    await this.#context.cache.write([['toolPreferences', scope]], () => upsertPreferences.all(this.#db, row))
    return lists
  }

  /** Whether there were any. Safe to repeat. */
  async deletePreferences(sessionId?: string): Promise<boolean> {
    const scope = scopeOf(sessionId)
    const rows = [['toolPreferences', scope]] as const
    const deleted = await this.#context.cache.write(rows, () => deletePreferences.first(this.#db, { scope }))
    return deleted !== undefined
  }
}

function parseAllowed(tool: string, sessionId: string | undefined): Allowed {
  return { scope: scopeOf(sessionId), tool: parseInput(idSchema, tool, 'tool') }
}
