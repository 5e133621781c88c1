import { setTimeout as sleep } from 'node:timers/promises'
import { type Json, type Message, type Storage, type StorageTransaction, toolExecutionId } from 'holdfast'

/** What the model says: text to the user, or calls of tools. */
export type Reply = string | ToolCall[]

export type ToolCall = { type: 'tool-call'; id: string; tool: string; input: Json }

export type Model = (conversation: readonly Message[]) => Promise<Reply>

/** A tool whose effect is in the database takes part in the transaction that records its outcome. */
interface InsideTool {
  acts: 'inside'
  needsApproval?: boolean
  run(tx: StorageTransaction, input: Json): Promise<Json>
}

/**
 * A tool that acts on the world. A crash between its act and our record of it is a gap that no storage can close: the
 * tool is then run again, with the same id, by which it, or the service that it calls, knows what is done already.
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
  /** Told what happens, as it happens. */
  say(text: string): void
}

/**
 * Works on a session until nothing is left to do. What comes next follows from the stored conversation alone, so a
 * process that died is continued by any other that calls this. One process at a time works on a session.
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

/** Lets the model speak. The message's id is that of the step: if this step was stored, it is there once. */
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

/** What the user said while the agent was busy: out of the queue and into the conversation, or neither. */
async function takeSteering({ storage, sessionId }: Agent): Promise<boolean> {
  return storage.transaction(async (tx) => {
    const items = await tx.queues.takeAll(sessionId, 'steer')
    const messages = items.map(({ id, text }) => ({ id, role: 'user', content: String(text) }))
    await tx.messages.append(sessionId, messages)
    return messages.length > 0
  })
}

/** A call, and the message that it is in. */
type OpenCall = ToolCall & { stepId: string }

/** The first call that has no result yet. */
function firstOpenCall(conversation: readonly Message[]): OpenCall | undefined {
  const answered = new Set(conversation.map(({ metadata }) => metadata.answers))
  const calls = conversation.flatMap(({ id: stepId, role, content }) => {
    const parts = role === 'assistant' && Array.isArray(content) ? content : []
    return parts.map((part) => ({ ...(part as ToolCall), stepId })) // think() stored them
  })
  return calls.find(({ id }) => !answered.has(id))
}

/** Runs the tool of a call, if it may, and stores the result. */
async function answer(agent: Agent, call: OpenCall): Promise<void> {
  const { storage, runId, tools, say } = agent
  const { id: toolCallId, stepId: modelStepId, tool: toolName, input } = call
  const tool = tools[toolName]
  if (tool === undefined) throw new Error(`There is no tool ${toolName}`)

  // The same call has the same execution id, whichever process comes to it.
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
  // The outcome is recorded, or it is not: no crash comes between these.
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

/** Asks the user, unless the tool is allowed already. The request is stored once, and so is its answer. */
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
