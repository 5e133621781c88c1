import assert from 'node:assert/strict'
import { type ToolExecution, type ToolExecutionIdentity, toolExecutionId } from '../repositories/tool-executions.ts'
import { type Cases, invalid, refused, times } from './contract.ts'

/** `storage.toolExecutions`. */
export const toolExecutionCases: Cases = {
  async 'start once, and keep what was started'({ storage: { toolExecutions }, name, clock }) {
    const identity = { runId: name(), turnId: 't', modelStepId: 's', toolCallId: 'c' }
    const input = { '2': 1, '1': '\u0000' }
    const { status, record } = await toolExecutions.start({ identity, toolName: 'search', input })
    const executionId = toolExecutionId(identity)
    const running = { executionId, identity, toolName: 'search', input, status: 'running', output: null, error: null }
    assert.deepEqual([status, record], ['started', { ...running, startedAt: clock.now(), finishedAt: null }])
    assert.deepEqual(await toolExecutions.get(executionId), record)
    clock.advance(5)
    const again = await toolExecutions.start({ identity, toolName: 'other', input: null })
    assert.deepEqual(again, { status: 'existing', record })
    const own = await toolExecutions.start({ executionId: name('own'), identity, toolName: 'search' })
    assert.deepEqual([own.status, own.record.executionId, own.record.input], ['started', name('own'), null])
    assert.equal(await toolExecutions.get(name('absent')), undefined)
  },

  async 'derive an id that no other identity has'({ storage: { toolExecutions }, name }) {
    const parts = [
      [name('a'), 'b', 'c', 'd'],
      [name('ab'), 'c', 'd', '"'],
      [name('a'), 'bc', 'd', '"'],
      [name('a'), 'b', 'd', 'c'],
      [name('a","b'), 'c', 'd', '"'],
      [name('a\\'), 'b', 'c', 'd'],
    ] as const
    const identities = parts.map(([runId, turnId, modelStepId, toolCallId]) => ({
      runId,
      turnId,
      modelStepId,
      toolCallId,
    }))
    for (const identity of identities) {
      const { status, record } = await toolExecutions.start({ identity, toolName: 't' })
      assert.deepEqual([status, record.identity], ['started', identity])
    }
    // It is the same for good: other versions and programs know it too.
    const known = toolExecutionId({ runId: 'run', turnId: 'turn', modelStepId: 'step', toolCallId: 'call' })
    assert.equal(known, 'bf7ab4e5aee1eea7d9399d187fd430b28412acd805ed3a3cb2ea8788ace5abd2')
  },

  async 'tell one of 50 at once that it is the one'({ storage: { toolExecutions }, name }) {
    const started = await Promise.all(
      times(50, (i) => toolExecutions.start({ identity: identityOf(name()), toolName: 't', input: i })),
    )
    const first = started.filter(({ status }) => status === 'started')
    assert.equal(first.length, 1)
    for (const { record } of started) assert.deepEqual(record, first[0]?.record)
  },

  async 'end once, one way'({ storage: { toolExecutions: e }, name, clock }) {
    const output = { b: [1, { y: null, x: 2 }], a: '\u0000' }
    const reordered = { a: '\u0000', b: [1, { x: 2, y: null }] }
    const ends: Record<string, ((id: string) => Promise<ToolExecution>)[]> = {
      completed: [(id) => e.complete(id, output), (id) => e.complete(id, reordered)],
      'completed with nothing': [(id) => e.complete(id), (id) => e.complete(id, null)],
      failed: [(id) => e.fail(id, output), (id) => e.fail(id, { ...reordered, gone: undefined })],
      cancelled: [(id) => e.cancel(id, 'by the user'), (id) => e.cancel(id, 'by the user')],
    }
    for (const [end, [finish, repeat]] of Object.entries(ends)) {
      const { record } = await e.start({ identity: identityOf(name(end)), toolName: 't', input: 1 })
      clock.advance(1)
      const finished = await finish?.(record.executionId)
      const status = end.split(' ')[0]
      assert.deepEqual({ ...finished, output: null, error: null }, { ...record, status, finishedAt: clock.now() })
      clock.advance(1)
      assert.deepEqual(await repeat?.(record.executionId), finished)
      for (const [other, [contradict]] of Object.entries(ends)) {
        if (other !== end && contradict) await refused(contradict(record.executionId), 'INVALID_STATE')
      }
      await refused(e.complete(record.executionId, { ...output, c: 1 }), 'INVALID_STATE')
      assert.deepEqual(await e.get(record.executionId), finished)
      const existing = await e.start({ identity: identityOf(name(end)), toolName: 't' })
      assert.deepEqual(existing, { status: 'existing', record: finished })
    }
    const { output: kept } = (await e.get(toolExecutionId(identityOf(name('completed'))))) ?? {}
    assert.equal(JSON.stringify(kept), JSON.stringify(output))
    for (const end of [e.complete, e.fail, e.cancel]) await refused(end.call(e, name('absent'), 1), 'NOT_FOUND')
  },

  async 'end one way, whoever is first'({ storage: { toolExecutions }, name }) {
    const { record } = await toolExecutions.start({ identity: identityOf(name()), toolName: 't' })
    const id = record.executionId
    const settled = await Promise.allSettled(
      times(30, (i) => {
        if (i % 3 === 0) return toolExecutions.complete(id, i % 2)
        return i % 3 === 1 ? toolExecutions.fail(id, 'x') : toolExecutions.cancel(id)
      }),
    )
    const stored = await toolExecutions.get(id)
    assert.notEqual(stored?.status, 'running')
    for (const result of settled) {
      if (result.status === 'fulfilled') assert.deepEqual(result.value, stored)
      else await refused(Promise.reject(result.reason), 'INVALID_STATE')
    }
    assert.ok(settled.some(({ status }) => status === 'fulfilled'))
  },

  async 'refuse what cannot be stored, and change nothing'({ storage: { toolExecutions }, name }) {
    const identity = identityOf(name())
    const fine = { identity, toolName: 't' }
    await invalid(toolExecutions.start({ ...fine, toolName: '' }), 'execution.toolName')
    await invalid(toolExecutions.start({ ...fine, input: Number.NaN }), 'execution.input')
    await invalid(toolExecutions.start({ ...fine, executionId: '' }), 'execution.executionId')
    await invalid(toolExecutions.start({ ...fine, identity: { ...identity, turnId: '' } }), 'execution.identity.turnId')
    await invalid(toolExecutions.get(''), 'executionId')
    const idOf = async (of: unknown) => toolExecutionId(of as ToolExecutionIdentity) // not as the types have it
    await invalid(idOf({ runId: 'a' }), 'identity.turnId')
    await invalid(idOf({ ...identity, toolCallId: '' }), 'identity.toolCallId')
    await invalid(idOf(undefined), 'identity')
    const { record } = await toolExecutions.start(fine)
    await invalid(toolExecutions.complete(record.executionId, { at: new Date() }), 'output.at')
    await invalid(toolExecutions.fail(record.executionId, new Error('x')), 'error')
    await invalid(toolExecutions.cancel(record.executionId, 1n), 'reason')
    assert.deepEqual(await toolExecutions.get(record.executionId), record)
  },
}

function identityOf(runId: string): ToolExecutionIdentity {
  return { runId, turnId: 't', modelStepId: 's', toolCallId: 'c' }
}
