import assert from 'node:assert/strict'
import { toolExecutionId } from '../repositories/tool-executions/execution-id.ts'
import type { ToolExecutions } from '../repositories/tool-executions/tool-executions.ts'
import type { ToolExecution, ToolExecutionIdentity } from '../repositories/tool-executions/types.ts'
import { badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

const OUTPUT = { b: [1, { y: null, x: 2 }], a: '\u0000' }
const REORDERED_OUTPUT = { a: '\u0000', b: [1, { x: 2, y: null }] }

const RUNNING = { status: 'running', output: null, error: null }

type Finish = (executions: ToolExecutions, id: string) => Promise<ToolExecution>

/** The ways to finish an execution, each with a repeat that means the same. */
const FINISHES: Record<string, { finish: Finish; repeat: Finish; status: ToolExecution['status'] }> = {
  'complete() with an output': {
    finish: (executions, id) => executions.complete(id, OUTPUT),
    repeat: (executions, id) => executions.complete(id, REORDERED_OUTPUT),
    status: 'completed',
  },
  'complete() without an output': {
    finish: (executions, id) => executions.complete(id),
    repeat: (executions, id) => executions.complete(id, null),
    status: 'completed',
  },
  'fail()': {
    finish: (executions, id) => executions.fail(id, OUTPUT),
    repeat: (executions, id) => executions.fail(id, { ...REORDERED_OUTPUT, gone: undefined }),
    status: 'failed',
  },
  'cancel()': {
    finish: (executions, id) => executions.cancel(id, 'by the user'),
    repeat: (executions, id) => executions.cancel(id, 'by the user'),
    status: 'cancelled',
  },
}

/** The cases of `storage.toolExecutions`. */
export const toolExecutionCases: Cases = {
  async 'start() returns the stored record if the execution has been started'({
    storage: { toolExecutions },
    name,
    clock,
  }) {
    const identity = { runId: name(), turnId: 't', modelStepId: 's', toolCallId: 'c' }
    const input = { '2': 1, '1': '\u0000' }
    const { status, record } = await toolExecutions.start({ identity, toolName: 'search', input })
    const executionId = toolExecutionId(identity)
    const running = { ...{ executionId, ownerId: '', identity, toolName: 'search', input }, ...RUNNING }
    assert.deepEqual([status, record], ['started', { ...running, startedAt: clock.now(), finishedAt: null }])
    assert.deepEqual(await toolExecutions.get(executionId), record)
    clock.advance(5)
    const again = await toolExecutions.start({ identity, toolName: 'other', input: null })
    assert.deepEqual(again, { status: 'existing', record })
    const own = await toolExecutions.start({ executionId: name('own'), identity, toolName: 'search' })
    assert.deepEqual([own.status, own.record.executionId, own.record.input], ['started', name('own'), null])
  },

  async 'get() returns undefined if there is no such execution'({ storage: { toolExecutions }, name }) {
    assert.equal(await toolExecutions.get(name('absent')), undefined)
  },

  async 'start() gives similar identities different ids'({ storage: { toolExecutions }, name }) {
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
  },

  async "start() returns 'started' to one caller when 50 calls run at once"({ storage: { toolExecutions }, name }) {
    const started = await Promise.all(
      times(50, (i) => toolExecutions.start({ identity: identityOf(name()), toolName: 't', input: i })),
    )
    const first = started.filter(({ status }) => status === 'started')
    assert.equal(first.length, 1)
    for (const { record } of started) assert.deepEqual(record, first[0]?.record)
  },

  ...eachInput(
    Object.entries(FINISHES),
    ([kind]) => `${kind} may be repeated and prevents every other outcome`,
    async ([kind, { finish, repeat, status }], { storage: { toolExecutions }, name, clock }) => {
      const { record } = await toolExecutions.start({ identity: identityOf(name()), toolName: 't', input: 1 })
      const id = record.executionId
      clock.advance(1)
      const finished = await finish(toolExecutions, id)
      assert.deepEqual({ ...finished, output: null, error: null }, { ...record, status, finishedAt: clock.now() })
      clock.advance(1)
      assert.deepEqual(await repeat(toolExecutions, id), finished)
      for (const [other, { finish: contradict }] of Object.entries(FINISHES)) {
        if (other !== kind) await refused(contradict(toolExecutions, id), 'INVALID_STATE')
      }
      await refused(toolExecutions.complete(id, { ...OUTPUT, c: 1 }), 'INVALID_STATE')
      assert.deepEqual(await toolExecutions.get(id), finished)
      const existing = await toolExecutions.start({ identity: identityOf(name()), toolName: 't' })
      assert.deepEqual(existing, { status: 'existing', record: finished })
    },
  ),

  async 'complete() keeps the order of keys'({ storage: { toolExecutions }, name }) {
    const { record } = await toolExecutions.start({ identity: identityOf(name()), toolName: 't' })
    await toolExecutions.complete(record.executionId, OUTPUT)
    await toolExecutions.complete(record.executionId, REORDERED_OUTPUT)
    const { output } = (await toolExecutions.get(record.executionId)) ?? {}
    assert.equal(JSON.stringify(output), JSON.stringify(OUTPUT))
  },

  ...eachInput(
    ['complete', 'fail', 'cancel'] as const,
    (method) => `${method}() rejects if there is no such execution`,
    (method, { storage: { toolExecutions }, name }) => refused(toolExecutions[method](name('absent'), 1), 'NOT_FOUND'),
  ),

  async 'complete(), fail() and cancel() finish an execution once when 30 calls run at once'({
    storage: { toolExecutions },
    name,
  }) {
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

  ...eachInput<[input: object, path: string]>(
    [
      [{ toolName: '' }, 'toolName'],
      [{ input: Number.NaN }, 'input'],
      [{ executionId: '' }, 'executionId'],
      [{ identity: { ...identityOf('r'), turnId: '' } }, 'identity.turnId'],
    ],
    ([input]) => `start() rejects ${shown(input)} and stores nothing`,
    async ([input, path], { storage: { toolExecutions }, name }) => {
      const execution = { identity: identityOf(name()), toolName: 't' }
      await invalid(toolExecutions.start({ ...execution, ...input }), `execution.${path}`)
      assert.equal(await toolExecutions.get(toolExecutionId(execution.identity)), undefined)
    },
  ),

  async 'complete(), fail() and cancel() reject values that are not JSON'({ storage: { toolExecutions }, name }) {
    const { record } = await toolExecutions.start({ identity: identityOf(name()), toolName: 't' })
    await invalid(toolExecutions.complete(record.executionId, { at: new Date() }), 'output.at')
    await invalid(toolExecutions.fail(record.executionId, new Error('x')), 'error')
    await invalid(toolExecutions.cancel(record.executionId, 1n), 'reason')
    assert.deepEqual(await toolExecutions.get(record.executionId), record)
  },

  async 'list() returns the executions that match, the newest first'({ storage: { toolExecutions }, name, clock }) {
    const all: ToolExecution[] = []
    clock.advance(1e6) // so that these executions are newer than those of other cases
    for (let i = 0; i < 14; i++) {
      if (i % 5 === 0) clock.advance(1)
      const identity = { ...identityOf(name(`${i % 3}`)), toolCallId: `${i}` }
      const executionId = name(`${10 + i}`)
      await toolExecutions.start({ executionId, identity, toolName: 't', input: i })
      await endOneOfFourWays(toolExecutions, executionId, i)
      all.unshift((await toolExecutions.get(executionId)) as ToolExecution) // it was just stored
    }
    assert.deepEqual((await toolExecutions.list({ limit: 14 })).items, all)
    for (const runId of [undefined, name('0'), name('absent')]) {
      for (const status of [undefined, 'running', 'completed', 'failed', 'cancelled'] as const) {
        const fits = ({ identity, ...execution }: ToolExecution) =>
          (runId === undefined || identity.runId === runId) && (status === undefined || execution.status === status)
        const expected = all.filter(fits)
        const listed: ToolExecution[] = []
        for (let cursor: string | undefined; ; ) {
          const page = await toolExecutions.list({ runId, status, limit: 2, cursor })
          listed.push(...page.items.filter(({ executionId }) => all.some((own) => own.executionId === executionId)))
          cursor = page.nextCursor
          if (cursor === undefined || listed.length >= expected.length) break
        }
        assert.deepEqual(listed, expected, shown({ runId, status }))
      }
    }
    for (const of of [{}, { runId: name('0') }]) {
      assert.deepEqual(await toolExecutions.list({ ...of, ownerId: name() }), { items: [] })
    }
  },

  async 'delete() removes an execution, which may then be started again'({ storage: { toolExecutions }, name }) {
    const start = (text: string) =>
      toolExecutions.start({ executionId: name(text), identity: identityOf(name()), toolName: 't' })
    for (const text of ['running', 'failed', 'other']) await start(text)
    await toolExecutions.fail(name('failed'))
    for (const text of ['running', 'failed']) {
      assert.equal(await toolExecutions.delete(name(text)), true)
      assert.equal(await toolExecutions.delete(name(text)), false)
      assert.equal(await toolExecutions.get(name(text)), undefined)
      await refused(toolExecutions.complete(name(text)), 'NOT_FOUND')
      assert.equal((await start(text)).status, 'started')
    }
    assert.equal((await start('other')).status, 'existing')
  },

  async 'get(), list() and delete() reject what is not valid'({ storage: { toolExecutions } }) {
    await invalid(toolExecutions.get(''), 'executionId')
    await invalid(toolExecutions.delete(''), 'executionId')
    await invalid(toolExecutions.list({ status: 'done' as 'completed' }), 'options.status')
    await invalid(toolExecutions.list({ runId: '' }), 'options.runId')
    await invalid(toolExecutions.list({ ownerId: '' }), 'options.ownerId')
  },

  async 'list() rejects cursors that it did not return'({ storage: { toolExecutions }, name }) {
    await badCursors((cursor) => toolExecutions.list({ cursor }))
    await badCursors((cursor) => toolExecutions.list({ runId: name(), cursor }))
  },
}

/** The cases of `toolExecutionId()`. */
export const toolExecutionIdCases: Cases = {
  async 'returns the same id in every version of Holdfast'() {
    // Programs and databases of other versions hold this id.
    const id = toolExecutionId({ runId: 'run', turnId: 'turn', modelStepId: 'step', toolCallId: 'call' })
    assert.equal(id, 'bf7ab4e5aee1eea7d9399d187fd430b28412acd805ed3a3cb2ea8788ace5abd2')
  },

  ...eachInput<[identity: unknown, path: string]>(
    [
      [{ runId: 'a' }, 'identity.turnId'],
      [{ ...identityOf('r'), toolCallId: '' }, 'identity.toolCallId'],
      [undefined, 'identity'],
    ],
    ([identity]) => `rejects ${shown(identity)}`,
    async ([identity, path]) => {
      const call = async () => toolExecutionId(identity as ToolExecutionIdentity) // not as the type says
      await invalid(call(), path)
    },
  ),
}

function identityOf(runId: string): ToolExecutionIdentity {
  return { runId, turnId: 't', modelStepId: 's', toolCallId: 'c' }
}

async function endOneOfFourWays(toolExecutions: ToolExecutions, executionId: string, i: number) {
  if (i % 4 === 1) await toolExecutions.complete(executionId, i)
  if (i % 4 === 2) await toolExecutions.fail(executionId, i)
  if (i % 4 === 3) await toolExecutions.cancel(executionId, i)
}
