import assert from 'node:assert/strict'
import { allPages, badCursors, type Cases, invalid, refused, times } from './contract.ts'

/** `storage.approvals`. */
export const approvalCases: Cases = {
  async 'request never overwrites'({ storage: { approvals }, name, clock }) {
    const request = { tool: 'delete', input: { '2': 1, '1': null } }
    const asked = await approvals.request({ id: name(), sessionId: name('s'), type: 'tool', request })
    const [sessionId, createdAt] = [name('s'), clock.now()]
    assert.deepEqual(asked, { id: name(), sessionId, type: 'tool', request, createdAt, response: null })
    clock.advance(5)
    const changed = { id: name(), sessionId: name('other'), type: 'else', request: 'else' }
    assert.deepEqual(await approvals.request(changed), asked)
    assert.deepEqual(await approvals.get(name()), asked)
    const { response } = await approvals.respond({ id: name(), decision: 'approved' })
    assert.deepEqual(await approvals.request(changed), { ...asked, response })
    const plain = await approvals.request({ type: 'tool' })
    assert.deepEqual([plain.sessionId, plain.request], [null, null])
    assert.notEqual(plain.id, (await approvals.request({ type: 'tool' })).id)
    assert.equal(await approvals.get(name('absent')), undefined)
    const many = await Promise.all(times(20, (i) => approvals.request({ id: name('many'), type: 't', request: i })))
    for (const each of many) assert.deepEqual(each, many[0])
  },

  async 'the first response counts'({ storage: { approvals }, name, clock }) {
    const asked = await approvals.request({ id: name(), type: 'tool' })
    const data = { remember: true, note: '\u0000' }
    const first = await approvals.respond({ id: name(), decision: 'approved', data })
    const response = { id: name(), decision: 'approved', data, respondedAt: clock.now() }
    assert.deepEqual(first, { status: 'created', response })
    clock.advance(5)
    assert.deepEqual(await approvals.respond({ id: name(), decision: 'denied' }), { status: 'replayed', response })
    assert.deepEqual(await approvals.respond({ id: name(), decision: 'approved', data }), {
      status: 'replayed',
      response,
    })
    assert.deepEqual(await approvals.get(name()), { ...asked, response })
    await refused(approvals.respond({ id: name('absent'), decision: 'approved' }), 'NOT_FOUND')
    assert.equal(await approvals.get(name('absent')), undefined)
  },

  async 'the first response of 50 at once counts'({ storage: { approvals }, name }) {
    await approvals.request({ id: name(), type: 'tool' })
    const answered = await Promise.all(
      times(50, (i) => approvals.respond({ id: name(), decision: i % 2 ? 'denied' : 'approved', data: i })),
    )
    const created = answered.filter(({ status }) => status === 'created')
    assert.equal(created.length, 1)
    for (const { response } of answered) assert.deepEqual(response, created[0]?.response)
  },

  async 'list what is pending, the oldest first'({ storage: { approvals }, name, clock }) {
    const ids: string[] = []
    for (let i = 0; i < 12; i++) {
      if (i % 5 === 0) clock.advance(1)
      ids.push((await approvals.request({ type: 'tool', sessionId: name(i % 3 ? 'a' : 'b') })).id)
    }
    const [answered = ''] = ids.splice(4, 1)
    await approvals.respond({ id: answered, decision: 'denied' })
    const pending = async (options: { sessionId?: string }) => {
      const listed = await allPages((page) => approvals.listPending({ ...options, ...page }), 5)
      return listed.map(({ id }) => id).filter((id) => ids.includes(id) || id === answered)
    }
    assert.deepEqual(await pending({}), ids)
    const ofSessions = [await pending({ sessionId: name('a') }), await pending({ sessionId: name('b') })]
    assert.deepEqual(ofSessions.flat().toSorted(), ids.toSorted())
    assert.equal(ofSessions[1]?.length, 4)
    assert.deepEqual(await approvals.listPending({ sessionId: name() }), { items: [] })
  },

  async 'keep a state for a session, and a global one'({ storage: { approvals }, name }) {
    await approvals.deleteState()
    assert.equal(await approvals.getState(), undefined)
    assert.equal(await approvals.getState(name()), undefined)
    await approvals.setState({ mode: 'ask' })
    assert.equal(await approvals.getState(name()), undefined)
    await approvals.setState(null, name())
    assert.deepEqual([await approvals.getState(), await approvals.getState(name())], [{ mode: 'ask' }, null])
    await approvals.setState(['changed'], name())
    assert.deepEqual([await approvals.getState(), await approvals.getState(name())], [{ mode: 'ask' }, ['changed']])
    assert.equal(await approvals.deleteState(name()), true)
    assert.equal(await approvals.deleteState(name()), false)
    assert.deepEqual([await approvals.getState(), await approvals.getState(name())], [{ mode: 'ask' }, undefined])
    assert.equal(await approvals.deleteState(), true)
  },

  async 'refuse what cannot be stored, and change nothing'({ storage: { approvals }, name }) {
    const asked = await approvals.request({ id: name(), type: 'tool' })
    await invalid(approvals.request({ type: '' }), 'request.type')
    await invalid(approvals.request({ type: 'tool', id: '' }), 'request.id')
    await invalid(approvals.request({ type: 'tool', sessionId: 'a\0' }), 'request.sessionId')
    await invalid(approvals.request({ type: 'tool', request: new Set() }), 'request.request')
    await invalid(approvals.respond({ id: name(), decision: '' }), 'response.decision')
    await invalid(approvals.respond({ id: name(), decision: 'x', data: Number.NaN }), 'response.data')
    await invalid(approvals.setState(undefined), 'state')
    await invalid(approvals.setState(1, ''), 'sessionId')
    await invalid(approvals.getState(''), 'sessionId')
    await badCursors((cursor) => approvals.listPending({ cursor }))
    assert.deepEqual(await approvals.get(name()), asked)
  },
}
