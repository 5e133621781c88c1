import assert from 'node:assert/strict'
import type { Approval, ApprovalInput, ApprovalResponseInput } from '../repositories/approvals/types.ts'
import { allPages, badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

/** The cases of `storage.approvals`. */
export const approvalCases: Cases = {
  async 'request() stores an approval, with defaults for what is left out'({ storage: { approvals }, name, clock }) {
    const request = { tool: 'delete', input: { '2': 1, '1': null } }
    const requested = await approvals.request({ id: name(), sessionId: name('s'), type: 'tool', request })
    const [sessionId, createdAt] = [name('s'), clock.now()]
    const ids = { id: name(), ownerId: '', sessionId }
    assert.deepEqual(requested, { ...ids, type: 'tool', request, createdAt, response: null })
    assert.deepEqual(await approvals.get(name()), requested)
    const plain = await approvals.request({ type: 'tool' })
    assert.deepEqual([plain.sessionId, plain.request], [null, null])
    assert.notEqual(plain.id, (await approvals.request({ type: 'tool' })).id)
  },

  async 'request() returns the stored approval if the id is taken'({ storage: { approvals }, name, clock }) {
    const requested = await approvals.request({ id: name(), sessionId: name('s'), type: 'tool', request: 1 })
    clock.advance(5)
    const changed = { id: name(), sessionId: name('other'), type: 'else', request: 'else' }
    assert.deepEqual(await approvals.request(changed), requested)
    assert.deepEqual(await approvals.get(name()), requested)
    const { response } = await approvals.respond({ id: name(), decision: 'approved' })
    assert.deepEqual(await approvals.request(changed), { ...requested, response })
  },

  async 'request() stores one approval when 20 calls have the same id'({ storage: { approvals }, name }) {
    const all = await Promise.all(times(20, (i) => approvals.request({ id: name(), type: 't', request: i })))
    for (const approval of all) assert.deepEqual(approval, all[0])
  },

  async 'get() returns undefined if there is no such approval'({ storage: { approvals }, name }) {
    assert.equal(await approvals.get(name('absent')), undefined)
  },

  async 'respond() stores the first response and returns it to later calls'({ storage: { approvals }, name, clock }) {
    const requested = await approvals.request({ id: name(), type: 'tool' })
    const data = { remember: true, note: '\u0000' }
    const first = await approvals.respond({ id: name(), decision: 'approved', data })
    const response = { id: name(), decision: 'approved', data, respondedAt: clock.now() }
    assert.deepEqual(first, { status: 'created', response })
    clock.advance(5)
    const replayed = { status: 'replayed', response }
    assert.deepEqual(await approvals.respond({ id: name(), decision: 'denied' }), replayed)
    assert.deepEqual(await approvals.respond({ id: name(), decision: 'approved', data }), replayed)
    assert.deepEqual(await approvals.get(name()), { ...requested, response })
  },

  async 'respond() rejects if there is no such approval'({ storage: { approvals }, name }) {
    await refused(approvals.respond({ id: name('absent'), decision: 'approved' }), 'NOT_FOUND')
    assert.equal(await approvals.get(name('absent')), undefined)
  },

  async 'respond() stores one response when 50 calls run at once'({ storage: { approvals }, name }) {
    await approvals.request({ id: name(), type: 'tool' })
    const results = await Promise.all(
      times(50, (i) => approvals.respond({ id: name(), decision: i % 2 ? 'denied' : 'approved', data: i })),
    )
    const created = results.filter(({ status }) => status === 'created')
    assert.equal(created.length, 1)
    for (const { response } of results) assert.deepEqual(response, created[0]?.response)
  },

  async 'listPending() returns the approvals without a response, oldest first'({
    storage: { approvals },
    name,
    clock,
  }) {
    const ids: string[] = []
    for (let i = 0; i < 12; i++) {
      if (i % 5 === 0) clock.advance(1)
      ids.push((await approvals.request({ type: 'tool', sessionId: name(i % 3 ? 'a' : 'b') })).id)
    }
    const [responded = ''] = ids.splice(4, 1)
    await approvals.respond({ id: responded, decision: 'denied' })
    const pending = async (options: { sessionId?: string }) => {
      const listed = await allPages((page) => approvals.listPending({ ...options, ...page }), 5)
      return listed.map(({ id }) => id).filter((id) => ids.includes(id) || id === responded)
    }
    assert.deepEqual(await pending({}), ids)
    const bySession = [await pending({ sessionId: name('a') }), await pending({ sessionId: name('b') })]
    assert.deepEqual(bySession.flat().toSorted(), ids.toSorted())
    assert.equal(bySession[1]?.length, 4)
    assert.deepEqual(await approvals.listPending({ sessionId: name() }), { items: [] })
  },

  async 'list() returns the approvals that match, the newest first'({ storage: { approvals }, name, clock }) {
    const all: Approval[] = []
    clock.advance(1e6) // so that these approvals are newer than those of other cases
    for (let i = 0; i < 14; i++) {
      if (i % 5 === 0) clock.advance(1)
      const sessionId = i % 3 === 2 ? null : name(`${i % 3}`)
      const { id } = await approvals.request({ id: name(`${10 + i}`), type: 'tool', sessionId, request: i })
      if (i % 2 === 1) await approvals.respond({ id, decision: 'approved', data: i })
      all.unshift((await approvals.get(id)) as Approval) // it was just stored
    }
    assert.deepEqual((await approvals.list({ limit: 14 })).items, all)
    for (const sessionId of [undefined, name('0'), name('1'), name('absent')]) {
      for (const status of [undefined, 'pending', 'responded'] as const) {
        const fits = (approval: Approval) =>
          (sessionId === undefined || approval.sessionId === sessionId) &&
          (status === undefined || (approval.response === null) === (status === 'pending'))
        const listed: Approval[] = []
        for (let cursor: string | undefined; ; ) {
          const page = await approvals.list({ sessionId, status, limit: 3, cursor })
          listed.push(...page.items.filter((approval) => all.some(({ id }) => id === approval.id)))
          cursor = page.nextCursor
          if (cursor === undefined || listed.length >= all.filter(fits).length) break
        }
        assert.deepEqual(listed, all.filter(fits), shown({ sessionId, status }))
      }
    }
    assert.deepEqual(await approvals.list({ ownerId: name() }), { items: [] })
  },

  async 'delete() removes an approval with its response'({ storage: { approvals }, name }) {
    for (const text of ['pending', 'responded', 'other']) await approvals.request({ id: name(text), type: 'tool' })
    await approvals.respond({ id: name('responded'), decision: 'denied' })
    for (const text of ['pending', 'responded']) {
      assert.equal(await approvals.delete(name(text)), true)
      assert.equal(await approvals.delete(name(text)), false)
      assert.equal(await approvals.get(name(text)), undefined)
    }
    await refused(approvals.respond({ id: name('responded'), decision: 'approved' }), 'NOT_FOUND')
    assert.equal((await approvals.request({ id: name('responded'), type: 'again' })).response, null)
    assert.equal((await approvals.get(name('other')))?.id, name('other'))
  },

  async 'getState() does not fall back to the global state when a session has none'({ storage: { approvals }, name }) {
    await approvals.deleteState()
    assert.equal(await approvals.getState(), undefined)
    assert.equal(await approvals.getState(name()), undefined)
    await approvals.setState({ mode: 'ask' })
    assert.equal(await approvals.getState(name()), undefined)
    assert.equal(await approvals.deleteState(), true)
  },

  async 'setState() and deleteState() change the state of one session alone'({ storage: { approvals }, name }) {
    const states = async () => [await approvals.getState(), await approvals.getState(name())]
    await approvals.setState({ mode: 'ask' })
    await approvals.setState(null, name())
    assert.deepEqual(await states(), [{ mode: 'ask' }, null])
    await approvals.setState(['changed'], name())
    assert.deepEqual(await states(), [{ mode: 'ask' }, ['changed']])
    assert.equal(await approvals.deleteState(name()), true)
    assert.equal(await approvals.deleteState(name()), false)
    assert.deepEqual(await states(), [{ mode: 'ask' }, undefined])
    assert.equal(await approvals.deleteState(), true)
  },

  ...eachInput<[input: Partial<ApprovalInput>, path: string]>(
    [
      [{ type: '' }, 'type'],
      [{ id: '' }, 'id'],
      [{ sessionId: 'a\0' }, 'sessionId'],
      [{ request: new Set() }, 'request'],
    ],
    ([input]) => `request() rejects ${shown(input)}`,
    ([input, path], { storage: { approvals } }) =>
      invalid(approvals.request({ type: 'tool', ...input }), `request.${path}`),
  ),

  ...eachInput<[input: Partial<ApprovalResponseInput>, path: string]>(
    [
      [{ decision: '' }, 'decision'],
      [{ decision: 'x', data: Number.NaN }, 'data'],
    ],
    ([input]) => `respond() rejects ${shown(input)} and stores no response`,
    async ([input, path], { storage: { approvals }, name }) => {
      const requested = await approvals.request({ id: name(), type: 'tool' })
      await invalid(approvals.respond({ id: name(), decision: 'x', ...input }), `response.${path}`)
      assert.deepEqual(await approvals.get(name()), requested)
    },
  ),

  async 'getState() and setState() reject what cannot be stored'({ storage: { approvals } }) {
    await invalid(approvals.setState(undefined), 'state')
    await invalid(approvals.setState(1, ''), 'sessionId')
    await invalid(approvals.getState(''), 'sessionId')
  },

  async 'list() and delete() reject what is not valid'({ storage: { approvals } }) {
    await invalid(approvals.list({ status: 'open' as 'pending' }), 'options.status')
    await invalid(approvals.list({ sessionId: '' }), 'options.sessionId')
    await invalid(approvals.list({ ownerId: '' }), 'options.ownerId')
    await invalid(approvals.delete(''), 'id')
  },

  async 'list() and listPending() reject cursors that they did not return'({ storage: { approvals } }) {
    await badCursors((cursor) => approvals.list({ cursor }))
    await badCursors((cursor) => approvals.listPending({ cursor }))
  },
}
