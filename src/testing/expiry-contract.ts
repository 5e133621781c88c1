import assert from 'node:assert/strict'
import { type Cases, refused, times } from './contract.ts'

const message = { id: 'm', role: 'user', content: 'hello' }

/** Expired sessions and entries: absent at once, removed later by `maintain()`. */
export const expiryCases: Cases = {
  async 'sessions.get() and all other calls find no session from its expiry on'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const [id, ownerId] = [name('id'), name('owner')]
    await sessions.create({ id, ownerId, expiresAt: clock.after(60) })
    await messages.append(id, message)
    clock.advance(59.999)
    assert.equal((await sessions.get(id))?.id, id)
    assert.equal((await sessions.list({ ownerId })).items.length, 1)
    clock.advance(0.001)
    assert.equal(await sessions.get(id), undefined)
    assert.equal(await sessions.summary(id), undefined)
    assert.deepEqual(await sessions.list({ ownerId }), { items: [] })
    await refused(sessions.update(id, { title: 'x' }), 'NOT_FOUND')
    await refused(sessions.update(id, { title: 'x' }, { ifVersion: 1 }), 'NOT_FOUND')
    await refused(sessions.mergeMetadata(id, { a: 1 }), 'NOT_FOUND')
    await refused(sessions.fork(id, { id: name('copy') }), 'NOT_FOUND')
    assert.equal(await sessions.get(name('copy')), undefined)
    assert.equal(await sessions.delete(id), false)
  },

  async 'messages.get() and all other calls find no message of an expired session'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const id = name()
    await sessions.create({ id, expiresAt: clock.after(60) })
    await messages.append(id, message)
    clock.advance(60)
    assert.equal(await messages.get(id, 'm'), undefined)
    assert.deepEqual(await messages.list(id), { items: [] })
    assert.deepEqual(await messages.latest(id, 5), [])
    for await (const found of messages.iterate(id)) assert.fail(`yielded ${found.id}`)
    await refused(messages.update(id, 'm', { content: 'x' }), 'NOT_FOUND')
    assert.equal(await messages.pop(id), undefined)
    assert.equal(await messages.clear(id), 0)
  },

  async 'sessions.create(), sessions.fork() and messages.append() reuse the id of an expired session'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    for (const text of ['create', 'append', 'fork']) {
      await sessions.create({ id: name(text), title: 'old', metadata: { old: true }, expiresAt: clock.after(60) })
      await messages.append(name(text), [message, { role: 'user', content: 'more' }])
    }
    clock.advance(60)
    const created = await sessions.create({ id: name('create') })
    assert.deepEqual([created.title, created.metadata, created.version], [null, {}, 1])
    assert.deepEqual(await messages.list(name('create')), { items: [] })

    const appended = await messages.append(name('append'), { ...message, content: 'anew' })
    assert.deepEqual([appended.seq, appended.content], [1, 'anew'])
    const summary = await sessions.summary(name('append'))
    assert.deepEqual([summary?.title, summary?.messageCount, summary?.expiresAt], [null, 1, null])

    await messages.append(name('original'), { id: 'o', role: 'user', content: 'original' })
    await sessions.fork(name('original'), { id: name('fork') })
    const { items } = await messages.list(name('fork'))
    assert.deepEqual(
      items.map(({ id }) => id),
      ['o'],
    )
  },

  async 'sessions.update() gives a session to an owner whose session of this id has expired'({ storage, name, clock }) {
    const { sessions } = storage
    const [ada, bob] = [storage.scope({ ownerId: name('ada') }), storage.scope({ ownerId: name('bob') })]
    const id = name()
    await bob.sessions.create({ id, expiresAt: clock.after(60) })
    await bob.messages.append(id, message)
    await bob.queues.push(id, 'steer', { id: 'old' })
    await bob.approvals.setState('old', id)
    await ada.messages.append(id, { id: 'hers', role: 'user', content: 'hers' })
    clock.advance(60)
    assert.equal(await bob.sessions.get(id), undefined)
    await sessions.update(id, { ownerId: name('bob') })
    assert.deepEqual(
      (await bob.messages.list(id)).items.map((each) => each.id),
      ['hers'],
    )
    assert.deepEqual([await bob.queues.takeAll(id, 'steer'), await bob.approvals.getState(id)], [[], undefined])
    assert.equal(await ada.sessions.get(id), undefined)
  },

  async 'messages.append() restarts an expired session once when many run at once'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const id = name()
    await sessions.create({ id, expiresAt: clock.after(60) })
    await messages.append(id, message)
    clock.advance(60)
    await Promise.all(times(20, (i) => messages.append(id, { id: `new${i}`, role: 'user', content: 'x' })))
    const { items } = await messages.list(id)
    assert.equal(items.length, 20)
    assert.deepEqual(
      items.map(({ seq }) => seq),
      times(20, (i) => i + 1),
    )
  },

  async 'sessions.update() postpones the expiry'({ storage: { sessions }, name, clock }) {
    await sessions.create({ id: name(), expiresAt: clock.after(60) })
    await sessions.update(name(), { expiresAt: clock.after(120) })
    clock.advance(60)
    assert.equal((await sessions.get(name()))?.version, 2)
  },

  async 'sessions.create() accepts an expiry in the past'({ storage: { sessions }, name, clock }) {
    await sessions.create({ id: name(), expiresAt: clock.after(-1) })
    assert.equal(await sessions.get(name()), undefined)
  },

  async 'kv.get() and all other calls find no entry from its expiry on'({ storage: { kv }, name, clock }) {
    const key = name('a')
    const entry = await kv.set(key, 1, { ttlSeconds: 60 })
    assert.deepEqual(entry.expiresAt, clock.after(60))
    clock.advance(59.999)
    assert.equal(await kv.get(key), 1)
    clock.advance(0.001)
    assert.equal(await kv.get(key), undefined)
    assert.equal(await kv.getEntry(key), undefined)
    assert.equal((await kv.getMany([key])).size, 0)
    assert.deepEqual(await kv.keys({ prefix: name() }), { items: [] })
    assert.deepEqual(await kv.entries({ prefix: name() }), { items: [] })
    await refused(kv.set(key, 2, { ifVersion: 1 }), 'VERSION_CONFLICT')
    assert.equal(await kv.delete(key), false)
  },

  async 'kv.set() and kv.setIfAbsent() start an expired entry again'({ storage: { kv }, name, clock }) {
    for (const text of ['set', 'absent']) {
      await kv.set(name(text), 'old', { ttlSeconds: 60 })
      await kv.set(name(text), 'old', { ttlSeconds: 60 })
    }
    clock.advance(60)
    const now = clock.now()
    const anew = {
      key: name('set'),
      sessionId: null,
      value: 'new',
      version: 1,
      createdAt: now,
      updatedAt: now,
      expiresAt: null,
    }
    assert.deepEqual(await kv.set(name('set'), 'new'), anew)
    assert.deepEqual(await kv.getEntry(name('set')), anew)
    assert.deepEqual(await kv.setIfAbsent(name('absent'), 'new'), { value: 'new', inserted: true })
    assert.deepEqual(await kv.getEntry(name('absent')), { ...anew, key: name('absent') })
  },

  async 'kv.set() replaces the time to live of the previous write'({ storage: { kv }, name, clock }) {
    await kv.set(name('a'), 1, { ttlSeconds: 60 })
    await kv.set(name('a'), 2)
    await kv.setIfAbsent(name('b'), 1, { ttlSeconds: 60 })
    await kv.setIfAbsent(name('b'), 2)
    clock.advance(60)
    assert.equal(await kv.get(name('a')), 2)
    assert.equal(await kv.get(name('b')), undefined)
  },

  async 'what belongs to an expired session stays until maintain() or a new session of its id removes it'({
    storage,
    name,
    clock,
  }) {
    const { sessions, queues, events, approvals, toolPreferences } = storage
    const ids = [name('swept'), name('taken')]
    for (const id of ids) {
      await sessions.create({ id, expiresAt: clock.after(60) })
      await queues.push(id, 'queue', { id: 'item' })
      await events.append({ type: 'event', sessionId: id })
      await approvals.request({ sessionId: id, type: 'approval' })
      await approvals.setState('state', id)
      await toolPreferences.allow('tool', id)
    }
    const left = async (sessionId: string) => [
      (await queues.list(sessionId, 'queue')).items.length,
      (await events.list({ sessionId })).items.length,
      (await approvals.list({ sessionId })).items.length,
      await approvals.getState(sessionId),
      await toolPreferences.isAllowed('tool', sessionId),
    ]
    clock.advance(61)
    for (const id of ids) assert.deepEqual(await left(id), [1, 1, 1, 'state', true])
    await storage.messages.append(name('taken'), { role: 'user', content: 'x' })
    assert.deepEqual(await left(name('taken')), [0, 0, 0, undefined, false])
    clock.advance(300)
    await storage.maintain()
    assert.deepEqual(await left(name('swept')), [0, 0, 0, undefined, false])
  },

  async 'maintain() removes expired sessions and entries, and nothing else'({ storage, name, clock }) {
    const { sessions, messages, kv } = storage
    await storage.maintain()
    for (const i of times(120, (index) => index)) {
      await sessions.create({ id: name(`expired${i}`), expiresAt: clock.after(60) })
      await kv.set(name(`expired${i}`), i, { ttlSeconds: 60 })
    }
    await messages.append(
      name('expired0'),
      times(3, () => ({ role: 'user', content: 'x' })),
    )
    await sessions.create({ id: name('later'), expiresAt: clock.after(400) })
    await sessions.create({ id: name('stays') })
    await messages.append(name('stays'), message)
    await kv.set(name('later'), 1, { ttlSeconds: 400 })
    await kv.set(name('stays'), 1)
    clock.advance(60)
    for (const { removed } of await storage.maintain()) assert.equal(removed, 0) // five minutes of grace
    clock.advance(300)
    const before = (await storage.stats()).database.rows
    const reports = await storage.maintain()
    const after = (await storage.stats()).database.rows
    const removed = (step: string) => reports.find((report) => report.step === step)?.removed
    const missing = (table: string) => Number(before[table]) - Number(after[table])
    assert.ok(missing('sessions') >= 120 && missing('messages') >= 3 && missing('kv') >= 120) // and maybe rows of other cases
    assert.deepEqual([removed('expired-sessions'), removed('expired-keys')], [missing('sessions'), missing('kv')])
    for (const i of [0, 119]) assert.equal(await sessions.delete(name(`expired${i}`)), false)
    assert.equal((await sessions.get(name('later')))?.id, name('later'))
    assert.equal((await messages.get(name('stays'), 'm'))?.content, 'hello')
    assert.deepEqual([await kv.get(name('later')), await kv.get(name('stays'))], [1, 1])
    for (const { removed: again, error } of await storage.maintain()) assert.deepEqual([again, error], [0, undefined])
  },
}
