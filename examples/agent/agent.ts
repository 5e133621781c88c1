import { setTimeout as sleep } from 'node:timers/promises'
import { type Json, type Message, type Storage, type StorageTransaction, toolExecutionId } from 'holdfast'

/** What the model returns: text for the user, or tool calls. */
export type Reply = string | ToolCall[]

export type ToolCall = { type: 'tool-call'; id: string; tool: string; input: Json }

export type Model = (conversation: readonly Message[]) => Promise<Reply>

/** A tool that only changes the database. It runs in the transaction that records its outcome. */
interface InsideTool {
  acts: 'inside'
  needsApproval?: boolean
  run(tx: StorageTransaction, input: Json): Promise<Json>
}

/**
 * A tool that acts on the world outside the database. If the process crashes after the action and before the outcome is
 * recorded, the tool runs again with the same execution id. No storage can prevent that, so the tool, or the service it
 * calls, uses the id to skip what was done already.
 */
interface OutsideTool {
  acts: 'outside'
  needsApproval?: boolean
  run(executionId: string, input: Json): Promise<Json>
}

export type Tools = Readonly<Record<string, InsideTool | OutsideTool>>

export interface Agent {
  storage: Storage
  sessionId: string
  runId: string
  model: Model
  tools: Tools
  /** Receives a line for each thing that happens. */
  say(text: string): void
}

/**
 * Works on a session until nothing is left to do. The next step follows from the stored conversation alone, so if a
 * process dies, another one continues by calling this function. Only one process may work on a session at a time.
 */
export async function work(agent: Agent): Promise<void> {
  for (;;) {
    const conversation: Message[] = []
    for await (const message of agent.storage.messages.iterate(agent.sessionId)) conversation.push(message)
    const call = firstOpenCall(conversation)
    if (call) await answer(agent, call)
    else if (await takeSteering(agent)) agent.say('takes note of what the user said meanwhile')
    else if (conversation.at(-1)?.role === 'assistant') return
    else await think(agent, conversation)
  }
}

/** Asks the model for its next step and stores it. The message id is the step's id, so a step is never stored twice. */
async function think(
  { storage, sessionId, runId, model, say }: Agent,
  conversation: readonly Message[],
): Promise<void> {
  say('thinks')
  const content = await model(conversation)
  const step = conversation.filter(({ role }) => role === 'assistant').length + 1
  await storage.messages.append(sessionId, { id: `${runId}-step-${step}`, role: 'assistant', content })
  say(typeof content === 'string' ? `answers: ${content}` : `wants to ${content.map(({ tool }) => tool).join(', ')}`)
}

/** Moves what the user said meanwhile from the queue into the conversation, in one transaction. Returns true if there was any. */
async function takeSteering({ storage, sessionId }: Agent): Promise<boolean> {
  return storage.transaction(async (tx) => {
    const items = await tx.queues.takeAll(sessionId, 'steer')
    for (const { id, text } of items) await tx.messages.append(sessionId, { id, role: 'user', content: String(text) })
    return items.length > 0
  })
}

/** A tool call without a result, and the id of the message that contains the call. */
type OpenCall = ToolCall & { stepId: string }

/** Returns the first tool call that has no result yet. */
function firstOpenCall(conversation: readonly Message[]): OpenCall | undefined {
  const answered = new Set(conversation.map(({ metadata }) => metadata.answers))
  const calls = conversation.flatMap(({ id: stepId, role, content }) => {
    const parts = role === 'assistant' && Array.isArray(content) ? content : []
    return parts.map((part) => ({ ...(part as ToolCall), stepId })) // think() stores only tool calls as parts
  })
  return calls.find(({ id }) => !answered.has(id))
}

/** Runs the tool of a call if the user allows it, and stores the result. */
async function answer(agent: Agent, call: OpenCall): Promise<void> {
  const { storage, runId, tools, say } = agent
  const { id: toolCallId, stepId: modelStepId, tool: toolName, input } = call
  const tool = tools[toolName]
  if (tool === undefined) throw new Error(`There is no tool ${toolName}`)

  // The execution id follows from the call, so every process computes the same id.
  const identity = { runId, turnId: '1', modelStepId, toolCallId }
  const executionId = toolExecutionId(identity)
  if (tool.needsApproval && !(await isApproved(agent, executionId, call))) {
    say(`may not ${toolName}`)
    return storage.transaction(async (tx) => {
      await tx.toolExecutions.start({ identity, toolName, input })
      await tx.toolExecutions.cancel(executionId, 'denied by the user')
      await storeResult(agent, tx, call, { error: 'The user does not allow this' })
    })
  }

  const { status } = await storage.toolExecutions.start({ identity, toolName, input })
  say(status === 'started' ? `begins to ${toolName}` : `was interrupted: goes on to ${toolName}`)
  const done = tool.acts === 'outside' ? await tool.run(executionId, input) : undefined
  // One transaction: a crash leaves both the outcome and its message, or neither.
  await storage.transaction(async (tx) => {
    const output = tool.acts === 'inside' ? await tool.run(tx, input) : (done ?? null)
    say(`has acted: ${toolName}`)
    await tx.toolExecutions.complete(executionId, output)
    await storeResult(agent, tx, call, output)
  })
  say(`has done it: ${toolName}`)
}

async function storeResult(
  { sessionId, runId }: Agent,
  tx: StorageTransaction,
  call: OpenCall,
  output: Json,
): Promise<void> {
  const content = [{ type: 'tool-result', tool: call.tool, output }]
  await tx.messages.append(sessionId, {
    id: `${call.id}-result`,
    role: 'tool',
    content,
    metadata: { answers: call.id },
  })
  await tx.events.append({ type: 'tool.answered', sessionId, runId, payload: { tool: call.tool, output } })
}

/** Returns true if the tool is allowed, or the user approves the call. The request and its answer are stored once each. */
async function isApproved({ storage, sessionId, say }: Agent, executionId: string, call: ToolCall): Promise<boolean> {
  if (await storage.toolPreferences.isAllowed(call.tool, sessionId)) return true
  const request = { tool: call.tool, input: call.input }
  let { response } = await storage.approvals.request({ id: executionId, sessionId, type: 'tool', request })
  if (response === null) say(`asks whether it may ${call.tool}`)
  while (response === null) {
    await sleep(50)
    response = (await storage.approvals.get(executionId))?.response ?? null
  }
  return response.decision === 'approved'
}
