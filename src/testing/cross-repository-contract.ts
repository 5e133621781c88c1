import assert from 'node:assert/strict'
import type { Repositories } from '../repositories/repositories.ts'
import { toolExecutionId } from '../repositories/tool-executions/execution-id.ts'
import { type Cases, failsWith } from './contract.ts'

/** All repositories together: in transactions, and with the session that their rows belong to. */
export const crossRepositoryCases: Cases = {
  async 'transaction() commits the writes of every repository'({ storage, name }) {
    const before = await contents(storage, name())
    await storage.transaction((tx) => fill(tx, name()))
    const after = await contents(storage, name())
    for (const [what, content] of Object.entries(after)) assert.notDeepEqual(content, before[what], what)
  },

  async 'transaction() rolls back the writes of every repository'({ storage, name }) {
    const before = await contents(storage, name())
    const boom = new Error('of the program')
    const failing = storage.transaction(async (tx) => {
      await fill(tx, name())
      const inside = await contents(tx, name())
      for (const [what, content] of Object.entries(inside)) assert.notDeepEqual(content, before[what], what)
      throw boom
    })
    await failsWith(failing, boom)
    assert.deepEqual(await contents(storage, name()), before)
  },

  async 'sessions.delete() removes what belongs to the session, and nothing else'({ storage, name }) {
    await storage.transaction(async (tx) => {
      await fill(tx, name('deleted'))
      await fill(tx, name('kept'))
    })
    await storage.toolPreferences.allow(name('tool'))
    const [deleted, kept] = [await contents(storage, name('deleted')), await contents(storage, name('kept'))]
    assert.equal(await storage.sessions.delete(name('deleted')), true)
    const rest = await contents(storage, name('deleted'))
    // Rows that belong to the agent rather than to one session stay.
    const { memory, prompt, workspace, toolState, execution, kv } = deleted
    const nothing = await contents(storage, name('never'))
    assert.deepEqual(rest, { ...nothing, memory, prompt, workspace, toolState, execution, kv })
    assert.deepEqual(await contents(storage, name('kept')), kept)
    assert.equal(await storage.toolPreferences.isAllowed(name('tool')), true)
    await storage.toolPreferences.disallow(name('tool'))
  },

  async 'messages.append() removes what belonged to an expired session of that id'({ storage, name, clock }) {
    await fill(storage, name())
    await storage.sessions.update(name(), { expiresAt: clock.after(60) })
    await contents(storage, name())
    clock.advance(61)
    await storage.messages.append(name(), { id: 'anew', role: 'user', content: 'x' })
    const { events, queue, approval, state, allowed, preferences } = await contents(storage, name())
    const none = [[], [], undefined, undefined, false, undefined]
    assert.deepEqual([events, queue, approval, state, allowed, preferences], none)
    assert.deepEqual(
      (await storage.messages.list(name())).items.map(({ id }) => id),
      ['anew'],
    )
  },
}

/** Writes something to every repository, under the id of a session. */
async function fill(storage: Repositories, session: string): Promise<void> {
  const { sessions, messages, kv, events, queues, approvals, toolPreferences } = storage
  await sessions.create({ id: session })
  await messages.append(session, { id: 'm', role: 'user', content: 'x' })
  await kv.set(session, 1)
  await events.append({ type: 'a', sessionId: session })
  await queues.push(session, 'q', { id: 'i' })
  await approvals.request({ id: `${session}a`, sessionId: session, type: 'tool' })
  await approvals.setState({ mode: 'ask' }, session)
  await toolPreferences.allow('tool', session)
  await toolPreferences.setPreferences({ disabled: ['shell'] }, session)
  await storage.memories.create({ content: 'x', tags: [session.slice(-50)] })
  await storage.prompts.save({ name: session, content: 'x' })
  await storage.workspaces.save({ path: session })
  await storage.toolState.set('tool', session, 1)
  await storage.toolExecutions.start({ identity: identityOf(session), toolName: 'tool' })
}

/** Reads what `fill` wrote. */
async function contents(storage: Repositories, session: string): Promise<Record<string, unknown>> {
  const { sessions, messages, kv, events, queues, approvals, toolPreferences } = storage
  return {
    session: await sessions.get(session),
    messages: (await messages.list(session)).items,
    kv: await kv.get(session),
    events: (await events.list({ sessionId: session })).items,
    queue: (await queues.list(session, 'q')).items,
    approval: await approvals.get(`${session}a`),
    state: await approvals.getState(session),
    allowed: await toolPreferences.isAllowed('tool', session),
    preferences: await toolPreferences.getPreferences(session),
    memory: (await storage.memories.list({ tags: [session.slice(-50)] })).items,
    prompt: await storage.prompts.get(session),
    workspace: await storage.workspaces.findByPath(session),
    toolState: await storage.toolState.get('tool', session),
    execution: await storage.toolExecutions.get(toolExecutionId(identityOf(session))),
  }
}

function identityOf(runId: string) {
  return { runId, turnId: 't', modelStepId: 's', toolCallId: 'c' }
}
