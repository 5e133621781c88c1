import type {
  AgentEvent,
  Approval,
  ApprovalDecision,
  ApprovalResponse,
  KvEntry,
  Memory,
  Message,
  Prompt,
  QueueItem,
  Session,
  SessionSummary,
  ToolExecution,
  ToolExecutionIdentity,
  ToolPreferenceSet,
  ToolStateEntry,
  Workspace,
} from 'holdfast'
import type { Tables } from '../../src/schema/tables.ts'
import type { Same } from './same.ts'

// Checked by tsc: the types that repositories return equal the rows of the tables, column by column.

type Flat<T> = { [K in keyof T]: T[K] }
type Row<T extends keyof Tables> = Flat<Tables[T]['$inferSelect']>
/** A row without its owner, which is that of the session, or of the scope that looked it up. */
type Named<T extends keyof Tables> = Flat<Omit<Row<T>, 'ownerId'>>

type Execution = Row<'toolExecutions'>
type Question = Row<'approvals'>

export const whole: {
  events: Same<Flat<AgentEvent>, Row<'events'>>
  kv: Same<Flat<KvEntry>, Named<'kv'>>
  messages: Same<Flat<Message>, Named<'messages'>>
  prompts: Same<Flat<Prompt>, Named<'prompts'>>
  sessions: Same<Flat<SessionSummary>, Row<'sessions'>>
  toolState: Same<Flat<ToolStateEntry>, Named<'toolState'>>
  workspaces: Same<Flat<Workspace>, Named<'workspaces'>>
} = { events: true, kv: true, messages: true, prompts: true, sessions: true, toolState: true, workspaces: true }

export const parts: {
  queueItems: Same<QueueItem, Row<'queueItems'>['item']>
  toolPreferences: Same<ToolPreferenceSet, Row<'toolPreferences'>['preferences']>
  /** Without the columns that an append changes. */
  sessions: Same<Flat<Session>, Flat<Omit<Row<'sessions'>, 'lastSeq' | 'messageCount' | 'lastActiveAt'>>>
  /** `source` and `pinned` are part of the metadata, and tags have their own table. */
  memories: Same<Flat<Omit<Memory, 'tags'>>, Flat<Omit<Row<'memories'>, 'source' | 'pinned'>>>
  identity: Same<Flat<ToolExecutionIdentity>, Flat<Pick<Execution, keyof ToolExecutionIdentity>>>
  executions: Same<
    Flat<Omit<ToolExecution, 'executionId' | 'identity'>>,
    Flat<Omit<Execution, 'id' | keyof ToolExecutionIdentity>>
  >
  approvals: Same<Flat<Omit<Approval, 'response'>>, Flat<Omit<Question, 'decision' | 'response' | 'respondedAt'>>>
  responses: Same<
    Flat<ApprovalResponse>,
    { id: Question['id']; decision: ApprovalDecision; data: Question['response']; respondedAt: Date }
  >
} = {
  queueItems: true,
  toolPreferences: true,
  sessions: true,
  memories: true,
  identity: true,
  executions: true,
  approvals: true,
  responses: true,
}

/** Proves that the comparison distinguishes rows. */
export const differences: Same<Flat<Session>, Row<'sessions'>> & Same<Flat<Prompt>, Row<'toolState'>> = false
