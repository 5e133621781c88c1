import type { Db } from '../database/db.ts'
import { Approvals } from './approvals.ts'
import type { RepositoryContext } from './context.ts'
import { Events } from './events.ts'
import { Kv } from './kv.ts'
import { Lists } from './lists.ts'
import { Memories } from './memories/memories.ts'
import { Messages } from './messages/messages.ts'
import { Prompts } from './prompts.ts'
import { Queues } from './queues.ts'
import { Sessions } from './sessions/sessions.ts'
import { ToolExecutions } from './tool-executions.ts'
import { ToolPreferences } from './tool-preferences.ts'
import { ToolState } from './tool-state.ts'
import { Workspaces } from './workspaces.ts'

/** All repositories over one handle: the storage's own, or those of a transaction. */
export interface Repositories {
  readonly sessions: Sessions
  readonly messages: Messages
  readonly kv: Kv
  readonly lists: Lists
  readonly queues: Queues
  readonly memories: Memories
  readonly events: Events
  readonly prompts: Prompts
  readonly workspaces: Workspaces
  readonly toolState: ToolState
  readonly toolExecutions: ToolExecutions
  readonly approvals: Approvals
  readonly toolPreferences: ToolPreferences
}

/** @internal */
export function openRepositories(db: Db, context: RepositoryContext): Repositories {
  return {
    sessions: new Sessions(db, context),
    messages: new Messages(db, context),
    kv: new Kv(db, context),
    lists: new Lists(db),
    queues: new Queues(db),
    memories: new Memories(db, context),
    events: new Events(db, context),
    prompts: new Prompts(db, context),
    workspaces: new Workspaces(db, context),
    toolState: new ToolState(db, context),
    toolExecutions: new ToolExecutions(db, context),
    approvals: new Approvals(db, context),
    toolPreferences: new ToolPreferences(db, context),
  }
}
