import { and, eq, inArray, type SQL, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { NOBODY, ownerOfNames, ownerOfSession } from '../database/owner.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { mapPage, type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { type Builder, statement } from '../database/statement.ts'
import type { ToolPreferenceSet } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import type { RepositoryContext } from './context.ts'
import { GLOBAL_SCOPE, homeOfScope, scopeOf } from './scope.ts'

export type { ToolPreferenceSet }

const toolNamesSchema = z.array(idSchema).check(z.maxLength(1000))

export const toolPreferencesInputSchema = z.strictObject({
  autoApproved: z.optional(toolNamesSchema),
  disabled: z.optional(toolNamesSchema),
})

/** Up to 1000 tool names in each list. Default: empty lists. */
export type ToolPreferencesInput = { [K in keyof ToolPreferenceSet]?: ToolPreferenceSet[K] | undefined }

const listOptionsSchema = z.strictObject({
  sessionId: z.optional(idSchema),
  ...pageSchema.shape,
})

export interface ListAllowedToolsOptions extends PageOptions {
  /** Only tools that are allowed in this session. Default: the tools that are allowed everywhere. */
  sessionId?: string | undefined
}

interface AllowedTool {
  scope: string
  tool: string
}

const insertAllowedTool = statement((db: Builder, { scope, tool, createdAt }: AllowedTool & { createdAt: Date }) =>
  db.orm
    .insert(db.tables.allowedTools)
    .values({ ownerId: ownerOfSession(db, scope), scope, tool, createdAt })
    .onConflictDoNothing(),
)

const deleteAllowedTool = statement((db: Builder, arg: AllowedTool) => {
  const { allowedTools: a } = db.tables
  return db.orm
    .delete(a)
    .where(and(isOfScope(db, arg.scope), eq(a.tool, arg.tool)))
    .returning({ tool: a.tool })
})

const selectAllowedTool = statement((db: Builder, arg: AllowedTool) => {
  const { allowedTools: a } = db.tables
  const owner = ownerOfSession(db, arg.scope)
  // A handle without an owner allows a tool everywhere as nobody, also in the sessions that have an owner.
  const isOfOwner = db.owner === undefined ? sql`${a.ownerId} in (${owner}, ${NOBODY})` : eq(a.ownerId, owner)
  return db.orm
    .select({ scope: a.scope })
    .from(a)
    .where(and(isOfOwner, inArray(a.scope, [arg.scope, GLOBAL_SCOPE]), eq(a.tool, arg.tool)))
})

const listAllowedTools = pagedQuery({
  name: 'allowedTools',
  select: ({ orm, tables: { allowedTools: a } }) => orm.select({ tool: a.tool }).from(a),
  visible: () => undefined, // the filter by scope has the owner
  filters: { scope: (_, scope: string, db) => isOfScope(db, scope) },
  orderBy: [{ name: 'tool', kind: 'text', column: ({ allowedTools }) => allowedTools.tool }],
})

function isOfScope(db: Builder, scope: string): SQL {
  const { allowedTools: a } = db.tables
  return and(eq(a.ownerId, ownerOfSession(db, scope)), eq(a.scope, scope)) as SQL // undefined only if no condition is given
}

interface PreferencesWrite {
  scope: string
  preferences: ToolPreferenceSet
  updatedAt: Date
}

/** Needs a handle whose owner is that of the session. */
const upsertPreferences = statement((db: Builder, { scope, preferences, updatedAt }: PreferencesWrite) => {
  const { toolPreferences: p } = db.tables
  return db.orm
    .insert(p)
    .values({ ownerId: ownerOfNames(db), scope, preferences, updatedAt })
    .onConflictDoUpdate({ target: [p.ownerId, p.scope], set: { preferences, updatedAt } })
})

const selectPreferences = statement((db: Builder, arg: { scope: string }) => {
  const { toolPreferences: p } = db.tables
  return db.orm
    .select()
    .from(p)
    .where(and(eq(p.ownerId, ownerOfSession(db, arg.scope)), eq(p.scope, arg.scope)))
})

/** Needs a handle whose owner is that of the session. */
const deletePreferences = statement((db: Builder, arg: { scope: string }) => {
  const { toolPreferences: p } = db.tables
  return db.orm
    .delete(p)
    .where(and(eq(p.ownerId, ownerOfNames(db)), eq(p.scope, arg.scope)))
    .returning({ scope: p.scope })
})

/** Tool preferences: the tools that are allowed, and a set of preferences, for a session or everywhere. */
export class ToolPreferences {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Allows a tool in a session, or everywhere if no session is given. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the tool or the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.allow('search', 'chat')
   * console.log(await storage.toolPreferences.isAllowed('search', 'chat')) // true
   * ```
   */
  async allow(tool: string, sessionId?: string): Promise<void> {
    await insertAllowedTool.all(this.#db, { ...parseAllowedTool(tool, sessionId), createdAt: this.#context.now() })
  }

  /**
   * Undoes `allow()` with the same arguments. Returns true if the tool was allowed by such a call. A tool that is allowed
   * everywhere stays allowed in every session. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the tool or the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.allow('search', 'chat')
   * console.log(await storage.toolPreferences.disallow('search', 'chat')) // true
   * ```
   */
  async disallow(tool: string, sessionId?: string): Promise<boolean> {
    return (await deleteAllowedTool.first(this.#db, parseAllowedTool(tool, sessionId))) !== undefined
  }

  /**
   * Returns true if the tool is allowed in the session or everywhere. Without a session, returns true only if the tool is
   * allowed everywhere. Takes one query. Outside of a scope, the tools that the session's owner has allowed everywhere count
   * as well.
   *
   * @throws {INVALID_INPUT} when the tool or the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.allow('search')
   * console.log(await storage.toolPreferences.isAllowed('search', 'chat')) // true
   * ```
   */
  async isAllowed(tool: string, sessionId?: string): Promise<boolean> {
    return (await selectAllowedTool.first(this.#db, parseAllowedTool(tool, sessionId))) !== undefined
  }

  /**
   * Returns a page of tools in byte order: the tools allowed in a session, without those allowed everywhere. If no session
   * is given, the tools allowed everywhere.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.allow('search', 'chat')
   * console.log((await storage.toolPreferences.listAllowed({ sessionId: 'chat' })).items) // [ 'search' ]
   * ```
   */
  async listAllowed(options: ListAllowedToolsOptions = {}): Promise<Page<string>> {
    const { sessionId, ...page } = parseInput(listOptionsSchema, options, 'options')
    return mapPage(await listAllowedTools(this.#db, { scope: scopeOf(sessionId) }, page, 'asc'), ({ tool }) => tool)
  }

  /**
   * Returns the preferences of a session, or the global preferences if no session is given. Returns undefined if they
   * were never set: those of a session do not fall back to the global preferences. Cached.
   *
   * @throws {INVALID_INPUT} when the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.setPreferences({ disabled: ['shell'] })
   * console.log(await storage.toolPreferences.getPreferences()) // { autoApproved: [], disabled: [ 'shell' ] }
   * console.log(await storage.toolPreferences.getPreferences('chat')) // undefined
   * ```
   */
  async getPreferences(sessionId?: string): Promise<ToolPreferenceSet | undefined> {
    const scope = scopeOf(sessionId)
    const load = (db = this.#db) => selectPreferences.first(db, { scope })
    return (await this.#context.cache.read('toolPreferences', scope, load))?.preferences
  }

  /**
   * Replaces all preferences of a session, or the global preferences if no session is given. Returns what was stored.
   * Safe to repeat.
   *
   * @throws {INVALID_INPUT} when a field or the session id is not valid.
   *
   * @example
   * ```ts
   * const stored = await storage.toolPreferences.setPreferences({ autoApproved: ['search'] }, 'chat')
   * console.log(stored) // { autoApproved: [ 'search' ], disabled: [] }
   * ```
   */
  async setPreferences(preferences: ToolPreferencesInput, sessionId?: string): Promise<ToolPreferenceSet> {
    const scope = scopeOf(sessionId)
    const { autoApproved = [], disabled = [] } = parseInput(toolPreferencesInputSchema, preferences, 'preferences')
    const set = { autoApproved, disabled }
    const row = { scope, preferences: set, updatedAt: this.#context.now() }
    const home = await homeOfScope(this.#db, this.#context, scope)
    await home.cache.write([['toolPreferences', scope]], (db = home.db) => upsertPreferences.all(db, row))
    return set
  }

  /**
   * Removes the preferences of a session, or the global preferences if no session is given. Returns true if they existed.
   * Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.toolPreferences.setPreferences({ disabled: ['shell'] }, 'chat')
   * console.log(await storage.toolPreferences.deletePreferences('chat')) // true
   * ```
   */
  async deletePreferences(sessionId?: string): Promise<boolean> {
    const scope = scopeOf(sessionId)
    const home = await homeOfScope(this.#db, this.#context, scope)
    const rows = [['toolPreferences', scope]] as const
    const deleted = await home.cache.write(rows, (db = home.db) => deletePreferences.first(db, { scope }))
    return deleted !== undefined
  }
}

function parseAllowedTool(tool: string, sessionId: string | undefined): AllowedTool {
  return { scope: scopeOf(sessionId), tool: parseInput(idSchema, tool, 'tool') }
}
