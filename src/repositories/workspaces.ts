import { and, eq, ne, notExists, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { ownerOfNames } from '../database/owner.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { type Builder, batch, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { Given, JsonObject } from '../schema/values.ts'
import { idSchema, keySchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonObjectSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { orderedId } from './ordered-id.ts'

/** A directory that an agent works in. */
export interface Workspace<Metadata extends object = JsonObject> {
  id: string
  /** Unique. */
  path: string
  name: string | null
  metadata: Metadata
  /** True for at most one workspace. */
  isCurrent: boolean
  createdAt: Date
  updatedAt: Date
}

export const workspaceInputSchema = z.strictObject({
  id: z.optional(idSchema),
  path: keySchema,
  name: z.optional(z.nullable(textSchema({ max: 1000 }))),
  metadata: z.optional(jsonObjectSchema),
})

export interface WorkspaceInput<Metadata extends object = JsonObject> {
  /** 1 to 255 bytes. Default: the id of the workspace with this path, or a new UUID. */
  id?: string | undefined
  /** 1 to 1024 bytes. Stored and compared byte for byte: `/tmp/a` and `/tmp/a/` are two paths. */
  path: string
  /** Up to 1000 characters. Default null. */
  name?: string | null | undefined
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
}

export interface ListWorkspacesOptions extends PageOptions {}

type WorkspaceWrite = Required<Pick<Workspace, 'id' | 'path' | 'name' | 'metadata'>> & { now: Date }

/** Lists the columns of a `Workspace`. */
const workspaceColumns = ({ workspaces: w }: Tables) => ({
  id: w.id,
  path: w.path,
  name: w.name,
  metadata: w.metadata,
  isCurrent: w.isCurrent,
  createdAt: w.createdAt,
  updatedAt: w.updatedAt,
})

const isOwn = (db: Builder) => eq(db.tables.workspaces.ownerId, ownerOfNames(db))

const isWorkspace = (db: Builder, id: string) => and(isOwn(db), eq(db.tables.workspaces.id, id))

const isCurrent = (db: Builder) => and(isOwn(db), sql`${db.tables.workspaces.isCurrent}`)

function newWorkspace(db: Builder, { id, path, name, metadata, now }: WorkspaceWrite) {
  return { ownerId: ownerOfNames(db), id, path, name, metadata, isCurrent: false, createdAt: now, updatedAt: now }
}

const upsertByPath = statement((db, arg: WorkspaceWrite) => {
  const { workspaces: w } = db.tables
  return db.orm
    .insert(w)
    .values(newWorkspace(db, arg))
    .onConflictDoUpdate({
      target: [w.ownerId, w.path],
      set: { name: arg.name, metadata: arg.metadata, updatedAt: arg.now },
    })
    .returning(workspaceColumns(db.tables))
})

const insertWorkspace = statement((db, arg: WorkspaceWrite) =>
  db.orm.insert(db.tables.workspaces).values(newWorkspace(db, arg)).onConflictDoNothing(),
)

/** Updates a workspace and returns it. Returns no row if another workspace has the path. */
const updateUnlessPathTaken = statement((db, { id, path, name, metadata, now }: WorkspaceWrite) => {
  const { workspaces: w } = db.tables
  const other = db.orm
    .select({ id: w.id })
    .from(w)
    .where(and(isOwn(db), eq(w.path, path), ne(w.id, id)))
  return db.orm
    .update(w)
    .set({ path, name, metadata, updatedAt: now })
    .where(and(isWorkspace(db, id), notExists(other)))
    .returning(workspaceColumns(db.tables))
})

const selectById = statement((db, arg: { id: string }) =>
  db.orm.select(workspaceColumns(db.tables)).from(db.tables.workspaces).where(isWorkspace(db, arg.id)),
)

const selectByPath = statement((db, arg: { path: string }) =>
  db.orm
    .select(workspaceColumns(db.tables))
    .from(db.tables.workspaces)
    .where(and(isOwn(db), eq(db.tables.workspaces.path, arg.path))),
)

const selectCurrent = statement((db, _: object) =>
  db.orm.select(workspaceColumns(db.tables)).from(db.tables.workspaces).where(isCurrent(db)),
)

/** Locks a row of its own until the transaction ends: two concurrent callers would otherwise each miss what the other sets. */
const lockCurrent = statement(({ orm, tables: { properties: p } }, arg: { now: string }) =>
  orm
    .insert(p)
    .values({ name: 'workspaces.current', value: arg.now })
    .onConflictDoUpdate({ target: p.name, set: { value: arg.now } }),
)

/** Makes every other workspace not current. Changes nothing if workspace `id` does not exist. */
const clearOthers = statement((db, arg: { id: string }) => {
  const { workspaces: w } = db.tables
  return db.orm
    .update(w)
    .set({ isCurrent: false })
    .where(and(isCurrent(db), ne(w.id, arg.id), sql`exists (select 1 from ${w} where ${isWorkspace(db, arg.id)})`))
})

const setCurrent = statement((db, arg: { id: string }) =>
  db.orm
    .update(db.tables.workspaces)
    .set({ isCurrent: true })
    .where(isWorkspace(db, arg.id))
    .returning(workspaceColumns(db.tables)),
)

const clearCurrent = statement((db, _: object) => {
  const { workspaces: w } = db.tables
  return db.orm.update(w).set({ isCurrent: false }).where(isCurrent(db)).returning({ id: w.id })
})

const listWorkspaces = pagedQuery({
  name: 'workspaces',
  select: ({ orm, tables }) => orm.select(workspaceColumns(tables)).from(tables.workspaces),
  visible: isOwn,
  filters: {},
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ workspaces }) => workspaces.createdAt },
    { name: 'id', kind: 'text', column: ({ workspaces }) => workspaces.id },
  ],
})

/** Workspaces: directories that an agent works in, at most one of them the current one. */
export class Workspaces {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Creates a workspace, or replaces the path, name and metadata of the workspace with this id. Without an id, the path
   * identifies the workspace. `isCurrent` stays as it is. Safe to repeat.
   *
   * @throws {ALREADY_EXISTS} when a workspace with another id has this path.
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.workspaces.save({ path: '/home/ada/oslo' })
   * const renamed = await storage.workspaces.save({ path: '/home/ada/oslo', name: 'Oslo' })
   * console.log(renamed.id === id, renamed.name) // true Oslo
   * ```
   */
  save<Metadata extends object = JsonObject>(workspace: WorkspaceInput<Metadata>): Promise<Workspace<Metadata>>
  async save(workspace: WorkspaceInput): Promise<Workspace> {
    const { id, path, name = null, metadata = {} } = parseInput(workspaceInputSchema, workspace, 'workspace')
    const now = this.#context.now()
    const write = { id: id ?? orderedId(now), path, name, metadata, now }
    const [saved] =
      id === undefined
        ? await upsertByPath.all(this.#db, write)
        : (await batch(this.#db, [insertWorkspace.with(write), updateUnlessPathTaken.with(write)]))[1]
    if (saved === undefined) {
      throw new StorageError('ALREADY_EXISTS', 'Another workspace has this path: save it without an id to update it', {
        details: { id, path },
      })
    }
    return saved
  }

  /**
   * Returns a workspace, or undefined if there is none.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.workspaces.save({ id: 'oslo', path: '/home/ada/oslo' })
   * console.log((await storage.workspaces.get('oslo'))?.path) // /home/ada/oslo
   * ```
   */
  get<Metadata extends object = JsonObject>(id: string): Promise<Workspace<Metadata> | undefined>
  async get(id: string): Promise<Workspace | undefined> {
    return selectById.first(this.#db, { id: parseInput(idSchema, id, 'id') })
  }

  /**
   * Returns the workspace with exactly this path, or undefined if there is none.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the path is not valid.
   *
   * @example
   * ```ts
   * await storage.workspaces.save({ path: '/home/ada/oslo', name: 'Oslo' })
   * console.log((await storage.workspaces.findByPath('/home/ada/oslo'))?.name) // Oslo
   * console.log(await storage.workspaces.findByPath('/home/ada/oslo/')) // undefined
   * ```
   */
  findByPath<Metadata extends object = JsonObject>(path: string): Promise<Workspace<Metadata> | undefined>
  async findByPath(path: string): Promise<Workspace | undefined> {
    return selectByPath.first(this.#db, { path: parseInput(keySchema, path, 'path') })
  }

  /**
   * Returns a page of workspaces, the most recently created first.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.workspaces.save({ path: '/home/ada/oslo' })
   * const { items, nextCursor } = await storage.workspaces.list({ limit: 20 })
   * console.log(items.length, nextCursor) // 1 undefined
   * ```
   */
  list<Metadata extends object = JsonObject>(options?: ListWorkspacesOptions): Promise<Page<Workspace<Metadata>>>
  async list(options: ListWorkspacesOptions = {}): Promise<Page<Workspace>> {
    return listWorkspaces(this.#db, {}, parseInput(pageSchema, options, 'options'), 'desc')
  }

  /**
   * Makes a workspace the current one, and any other workspace not current. The last of several concurrent callers wins.
   * Safe to repeat.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when there is no such workspace. The current workspace stays.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.workspaces.save({ path: '/home/ada/oslo' })
   * console.log((await storage.workspaces.setCurrent(id)).isCurrent) // true
   * ```
   */
  setCurrent<Metadata extends object = JsonObject>(id: string): Promise<Workspace<Metadata>>
  async setCurrent(id: string): Promise<Workspace> {
    parseInput(idSchema, id, 'id')
    const now = this.#context.now().toISOString()
    const calls = [lockCurrent.with({ now }), clearOthers.with({ id }), setCurrent.with({ id })] as const
    const [, , [current]] = await batch(this.#db, calls)
    if (current === undefined) throw new StorageError('NOT_FOUND', 'There is no such workspace', { details: { id } })
    return current
  }

  /**
   * Returns the current workspace, or undefined if there is none.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   *
   * @example
   * ```ts
   * const { id } = await storage.workspaces.save({ path: '/home/ada/oslo' })
   * await storage.workspaces.setCurrent(id)
   * console.log((await storage.workspaces.getCurrent())?.path) // /home/ada/oslo
   * ```
   */
  getCurrent<Metadata extends object = JsonObject>(): Promise<Workspace<Metadata> | undefined>
  async getCurrent(): Promise<Workspace | undefined> {
    return selectCurrent.first(this.#db, {})
  }

  /**
   * Makes the current workspace not current. The workspace is kept. Returns true if there was a current workspace. Safe
   * to repeat.
   *
   * @example
   * ```ts
   * const { id } = await storage.workspaces.save({ path: '/home/ada/oslo' })
   * await storage.workspaces.setCurrent(id)
   * console.log(await storage.workspaces.clearCurrent()) // true
   * ```
   */
  async clearCurrent(): Promise<boolean> {
    return (await clearCurrent.first(this.#db, {})) !== undefined
  }
}
