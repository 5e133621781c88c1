import type { Db } from '../database/db.ts'
import { observed } from '../observability/observed.ts'
import { Approvals } from './approvals/approvals.ts'
import { Checkpoints } from './checkpoints/checkpoints.ts'
import type { RepositoryContext } from './context.ts'
import { Events } from './events.ts'
import { Kv } from './kv/kv.ts'
import { Lists } from './lists/lists.ts'
import { Memories } from './memories/memories.ts'
import { Messages } from './messages/messages.ts'
import { OBSERVABLES } from './observables.ts'
import { Prompts } from './prompts.ts'
import { Queues } from './queues/queues.ts'
import { homeOfOwner } from './sessions/home.ts'
import { Sessions } from './sessions/sessions.ts'
import { ToolExecutions } from './tool-executions/tool-executions.ts'
import { ToolPreferences } from './tool-preferences.ts'
import { ToolState } from './tool-state.ts'
import { Workspaces } from './workspaces.ts'

/** All repositories over one database handle: that of the storage, of a scope, or of a transaction. */
export interface Repositories {
  /** Conversations, without their messages. */
  readonly sessions: Sessions
  /** The messages of sessions, in the order of their appends. */
  readonly messages: Messages
  /** JSON values by key, with an optional time to live. */
  readonly kv: Kv
  /** Ordered lists of JSON values by key. */
  readonly lists: Lists
  /** Named first-in, first-out queues of a session. */
  readonly queues: Queues
  /** What an agent remembers beyond a conversation. */
  readonly memories: Memories
  /** An append-only log of sessions and runs. */
  readonly events: Events
  /** Prompts by name. */
  readonly prompts: Prompts
  /** Directories that an agent works in, one of which may be the current one. */
  readonly workspaces: Workspaces
  /** JSON values that tools keep between calls, by tool and key. */
  readonly toolState: ToolState
  /** Tool calls and their results, so that a repeated call is not run twice. */
  readonly toolExecutions: ToolExecutions
  /** Approval requests and their responses. */
  readonly approvals: Approvals
  /** Which tools may run without asking, and which are never offered. */
  readonly toolPreferences: ToolPreferences
  /** Snapshots of runs, so that a run goes on after an interruption. */
  readonly checkpoints: Checkpoints
}

/**
 * Opens every repository over one database handle: for one owner, or without an owner for everybody. `db` is a handle
 * without an owner, and the context's cache is one as well.
 *
 * @internal
 */
export function openRepositories(db: Db, context: RepositoryContext, owner?: string): Repositories {
  if (owner === undefined) return repositoriesOn(db, context)
  const { db: owned, cache } = homeOfOwner(db, context.cache, owner)
  return repositoriesOn(owned, { ...context, cache })
}

function repositoriesOn(db: Db, context: RepositoryContext): Repositories {
  const observe = <T extends object>(repository: keyof Repositories, target: T): T =>
    observed(target, OBSERVABLES[repository], context.observer)
  return {
    sessions: observe('sessions', new Sessions(db, context)),
    messages: observe('messages', new Messages(db, context)),
    kv: observe('kv', new Kv(db, context)),
    lists: observe('lists', new Lists(db, context)),
    queues: observe('queues', new Queues(db, context)),
    memories: observe('memories', new Memories(db, context)),
    events: observe('events', new Events(db, context)),
    prompts: observe('prompts', new Prompts(db, context)),
    workspaces: observe('workspaces', new Workspaces(db, context)),
    toolState: observe('toolState', new ToolState(db, context)),
    toolExecutions: observe('toolExecutions', new ToolExecutions(db, context)),
    approvals: observe('approvals', new Approvals(db, context)),
    toolPreferences: observe('toolPreferences', new ToolPreferences(db, context)),
    checkpoints: observe('checkpoints', new Checkpoints(db, context)),
  }
}
