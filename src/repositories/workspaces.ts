import { and, eq, ne, notExists, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { batch, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { JsonObject } from '../schema/values.ts'
import { idSchema, keySchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonObjectSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { orderedId } from './ordered-id.ts'

export interface Workspace {
  id: string
  /** No two workspaces have the same. */
  path: string
  name: string | null
  metadata: JsonObject
  /** At most one workspace is. */
  isCurrent: boolean
  createdAt: Date
  updatedAt: Date
}

export const workspaceInputSchema = z.strictObject({
  id: idSchema.optional(),
  path: keySchema,
  name: textSchema({ max: 1000 }).nullable().optional(),
  metadata: jsonObjectSchema.optional(),
})
export interface WorkspaceInput {
  /** Default: that of the workspace with this path, or a new one. */
  id?: string | undefined
  /** 1 to 1024 bytes, kept and compared to the letter. */
  path: string
  name?: string | null | undefined
  metadata?: object | undefined
}

type Write = Required<Pick<Workspace, 'id' | 'path' | 'name' | 'metadata'>> & { now: Date }

function newWorkspace({ id, path, name, metadata, now }: Write) {
  return { id, path, name, metadata, isCurrent: false, createdAt: now, updatedAt: now }
}

const upsertByPath = statement(({ orm, tables: { workspaces: w } }, arg: Write) =>
  orm
    .insert(w)
    .values(newWorkspace(arg))
    .onConflictDoUpdate({ target: w.path, set: { name: arg.name, metadata: arg.metadata, updatedAt: arg.now } })
    .returning(),
)

const insertWorkspace = statement(({ orm, tables: { workspaces } }, arg: Write) =>
  orm.insert(workspaces).values(newWorkspace(arg)).onConflictDoNothing(),
)

/** Nothing where the path is another's. */
const updateWorkspace = statement(({ orm, tables: { workspaces: w } }, { id, path, name, metadata, now }: Write) =>
  orm
    .update(w)
    .set({ path, name, metadata, updatedAt: now })
    .where(
      and(
        eq(w.id, id),
        notExists(
          orm
            .select({ id: w.id })
            .from(w)
            .where(and(eq(w.path, path), ne(w.id, id))),
        ),
      ),
    )
    .returning(),
)

const selectById = statement(({ orm, tables: { workspaces } }, arg: { id: string }) =>
  orm.select().from(workspaces).where(eq(workspaces.id, arg.id)),
)

const selectByPath = statement(({ orm, tables: { workspaces } }, arg: { path: string }) =>
  orm.select().from(workspaces).where(eq(workspaces.path, arg.path)),
)

const selectCurrent = statement(({ orm, tables: { workspaces } }, _: object) =>
  orm.select().from(workspaces).where(sql`${workspaces.isCurrent}`),
)

/** One row that whoever sets the current workspace locks: two at once would each see the other's too late. */
const holdCurrent = statement(({ orm, tables: { properties: p } }, arg: { now: string }) =>
  orm
    .insert(p)
    .values({ name: 'workspaces.current', value: arg.now })
    .onConflictDoUpdate({ target: p.name, set: { value: arg.now } }),
)

/** Clears what is current, unless that would leave none for want of the new one. */
const unsetOthers = statement(({ orm, tables: { workspaces: w } }, arg: { id: string }) =>
  orm
    .update(w)
    .set({ isCurrent: false })
    .where(and(sql`${w.isCurrent}`, ne(w.id, arg.id), sql`exists (select 1 from ${w} where ${w.id} = ${arg.id})`)),
)

const setCurrent = statement(({ orm, tables: { workspaces: w } }, arg: { id: string }) =>
  orm.update(w).set({ isCurrent: true }).where(eq(w.id, arg.id)).returning(),
)

const clearCurrent = statement(({ orm, tables: { workspaces: w } }, _: object) =>
  orm.update(w).set({ isCurrent: false }).where(sql`${w.isCurrent}`).returning({ id: w.id }),
)

const listWorkspaces = pagedQuery({
  name: 'workspaces',
  select: ({ orm, tables }) => orm.select().from(tables.workspaces),
  filters: {},
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ workspaces }) => workspaces.createdAt },
    { name: 'id', kind: 'text', column: ({ workspaces }) => workspaces.id },
  ],
})

/** Directories an agent works in, one of which may be the current one. */
export class Workspaces {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Writes a workspace whole, in the place of the one with this id or, without an id, with this path. Whether it is the
   * current one stays. Errors: ALREADY_EXISTS (another id has this path), INVALID_INPUT. Safe to repeat.
   */
  async save(workspace: WorkspaceInput): Promise<Workspace> {
    const { id, path, name = null, metadata = {} } = parseInput(workspaceInputSchema, workspace, 'workspace')
    const now = this.#context.now()
    const write = { id: id ?? orderedId(now), path, name, metadata, now }
    const [saved] =
      id === undefined
        ? await upsertByPath.all(this.#db, write)
        : (await batch(this.#db, [insertWorkspace.with(write), updateWorkspace.with(write)]))[1]
    if (saved === undefined) {
      throw new StorageError('ALREADY_EXISTS', 'Another workspace has this path: save it without an id to update it', {
        details: { id, path },
      })
    }
    return saved
  }

  /** The workspace, or undefined. */
  async get(id: string): Promise<Workspace | undefined> {
    return selectById.first(this.#db, { id: parseInput(idSchema, id, 'id') })
  }

  /** The workspace with exactly this path, or undefined. */
  async findByPath(path: string): Promise<Workspace | undefined> {
    return selectByPath.first(this.#db, { path: parseInput(keySchema, path, 'path') })
  }

  /** Workspaces, the newest first. */
  async list(options: PageOptions = {}): Promise<Page<Workspace>> {
    return listWorkspaces(this.#db, {}, parseInput(pageSchema, options, 'options'), 'desc')
  }

  /** Makes a workspace the current one, in the place of any other; the last of several callers wins. Errors: NOT_FOUND. Safe to repeat. */
  async setCurrent(id: string): Promise<Workspace> {
    parseInput(idSchema, id, 'id')
    const now = this.#context.now().toISOString()
    const calls = [holdCurrent.with({ now }), unsetOthers.with({ id }), setCurrent.with({ id })] as const
    const [, , [current]] = await batch(this.#db, calls)
    if (current === undefined) throw new StorageError('NOT_FOUND', 'There is no such workspace', { details: { id } })
    return current
  }

  /** The current workspace, or undefined. */
  async getCurrent(): Promise<Workspace | undefined> {
    return selectCurrent.first(this.#db, {})
  }

  /** Whether there was a current workspace, which there is not any more. Safe to repeat. */
  async clearCurrent(): Promise<boolean> {
    return (await clearCurrent.first(this.#db, {})) !== undefined
  }
}
