import assert from 'node:assert/strict'
import { allPages, badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

/** `storage.sessions`: create, read, change, delete and list. */
export const sessionCases: Cases = {
  async 'create() sets defaults and a random id if nothing is given'({ storage: { sessions }, clock }) {
    const session = await sessions.create()
    const { id, ...rest } = session
    assert.match(id, /^[0-9a-f-]{36}$/)
    const now = clock.now()
    const unset = { title: null, ownerId: '', parentId: null, expiresAt: null }
    assert.deepEqual(rest, { ...unset, metadata: {}, version: 1, createdAt: now, updatedAt: now })
    assert.notEqual((await sessions.create()).id, id)
  },

  async 'get() returns what create() was given'({ storage: { sessions }, name, clock }) {
    const given = {
      id: name('ключ 🗝'),
      title: 'Ünïcödé "title" \r\n\t\u0001',
      ownerId: name('owner'),
      metadata: { z: 1, a: [null, true, { b: '\u0000' }], '10': 'ten', '2': 'two' },
      expiresAt: new Date('9999-12-31T23:59:59.999Z'),
    }
    const created = await sessions.create(given)
    const now = clock.now()
    assert.deepEqual(created, { ...given, version: 1, parentId: null, createdAt: now, updatedAt: now })
    assert.deepEqual(await sessions.get(given.id), created)
    assert.deepEqual(Object.keys(created.metadata), Object.keys(given.metadata))
  },

  async 'create() rejects if the id is taken'({ storage: { sessions }, name }) {
    const first = await sessions.create({ id: name(), title: 'first' })
    await refused(sessions.create({ id: name(), title: 'second' }), 'ALREADY_EXISTS')
    assert.deepEqual(await sessions.get(name()), first)
    const racing = await Promise.allSettled(times(10, () => sessions.create({ id: name('raced') })))
    assert.equal(racing.filter(({ status }) => status === 'fulfilled').length, 1)
  },

  async 'get() and summary() return undefined if there is no such session'({ storage: { sessions }, name }) {
    assert.equal(await sessions.get(name()), undefined)
    assert.equal(await sessions.summary(name()), undefined)
    assert.equal(await sessions.delete(name()), false)
  },

  async 'update() changes the given fields and leaves the others'({ storage: { sessions }, name, clock }) {
    const id = name()
    const created = await sessions.create({ id, title: 'old', ownerId: name('owner'), metadata: { kept: true } })
    clock.advance(5)
    const updated = await sessions.update(id, { title: 'new', ownerId: undefined })
    assert.deepEqual(updated, { ...created, title: 'new', version: 2, updatedAt: clock.now() })
    const expiresAt = clock.after(60)
    const emptied = await sessions.update(id, { title: null, ownerId: null, metadata: {}, expiresAt })
    assert.deepEqual(emptied, { ...updated, title: null, ownerId: '', metadata: {}, expiresAt, version: 3 })
    assert.deepEqual(await sessions.update(id, { expiresAt: null }), { ...emptied, expiresAt: null, version: 4 })
    assert.equal((await sessions.update(id, {})).version, 5)
    assert.equal((await sessions.get(id))?.version, 5)
    await refused(sessions.update(name('absent'), { title: 'new' }), 'NOT_FOUND')
  },

  async 'update() of the owner rejects if the new owner has a session with this id'({ storage, name }) {
    const [id, ownerId] = [name(), name('ada')]
    for (const owner of [null, ownerId]) await storage.sessions.create({ id, ownerId: owner })
    const taken = { code: 'ALREADY_EXISTS', message: /^The new owner has a session/, details: { id } }
    await assert.rejects(storage.sessions.update(id, { ownerId, title: 'x' }), taken)
    for (const view of [storage, storage.scope({ ownerId })]) assert.equal((await view.sessions.get(id))?.title, null)
  },

  async 'update() lets one of many concurrent calls with the same ifVersion win'({ storage: { sessions }, name }) {
    const id = name()
    await sessions.create({ id })
    const updates = times(20, (i) => sessions.update(id, { title: `${i}` }, { ifVersion: 1 }))
    const settled = await Promise.allSettled(updates)
    const winner = settled.findIndex(({ status }) => status === 'fulfilled')
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1)
    const { title, version } = (await sessions.get(id)) ?? {}
    assert.deepEqual({ title, version }, { title: `${winner}`, version: 2 })
    for (const ifVersion of [1, 3]) {
      await assert.rejects(sessions.update(id, { title: 'late' }, { ifVersion }), {
        code: 'VERSION_CONFLICT',
        details: { id, expected: ifVersion, actual: 2 },
      })
    }
    for (const ifVersion of [2 ** 31, Number.MAX_SAFE_INTEGER]) {
      await refused(sessions.update(id, { title: 'late' }, { ifVersion }), 'VERSION_CONFLICT')
    }
    assert.equal((await sessions.get(id))?.title, `${winner}`)
    assert.equal((await sessions.update(id, {}, { ifVersion: 2 })).version, 3)
    await refused(sessions.update(name('absent'), {}, { ifVersion: 1 }), 'NOT_FOUND')
  },

  async 'mergeMetadata() sets, replaces and removes properties'({ storage: { sessions }, name, clock }) {
    const id = name()
    const created = await sessions.create({ id, title: 'kept', metadata: { a: 1, b: { deep: 1 }, c: 3, n: 1 } })
    clock.advance(5)
    const merged = await sessions.mergeMetadata(id, { b: { other: 2 }, c: undefined, d: [4], n: null })
    const metadata = { a: 1, b: { other: 2 }, n: null, d: [4] }
    assert.deepEqual(merged, { ...created, metadata, version: 2, updatedAt: clock.now() })
    assert.deepEqual(await sessions.get(id), merged)
    const odd = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}')
    assert.deepEqual((await sessions.mergeMetadata(id, odd)).metadata, { ...metadata, ...odd })
    await refused(sessions.mergeMetadata(name('absent'), { a: 1 }), 'NOT_FOUND')
  },

  async 'mergeMetadata() loses nothing when 50 calls run at once'({ storage: { sessions }, name }) {
    const id = name()
    await sessions.create({ id, metadata: { first: true } })
    await Promise.all(times(50, (i) => sessions.mergeMetadata(id, { [`key${i}`]: i })))
    const session = await sessions.get(id)
    const merged = Object.fromEntries(times(50, (i) => [`key${i}`, i]))
    assert.deepEqual(session?.metadata, { first: true, ...merged })
    assert.equal(session?.version, 51)
  },

  async 'delete() removes the messages of the session'({ storage: { sessions, messages }, name }) {
    const [id, other] = [name('a'), name('b')]
    for (const session of [id, other]) await messages.append(session, { id: 'm', role: 'user', content: 'hello' })
    assert.equal(await sessions.delete(id), true)
    assert.equal(await sessions.get(id), undefined)
    assert.equal(await sessions.summary(id), undefined)
    assert.equal(await messages.get(id, 'm'), undefined)
    assert.deepEqual(await messages.list(id), { items: [] })
    assert.equal(await sessions.delete(id), false)
    assert.equal((await messages.get(other, 'm'))?.content, 'hello')
    const again = await messages.append(id, { id: 'm', role: 'user', content: 'anew' })
    assert.equal(again.seq, 1)
  },

  async 'summary() counts messages, which change no other field'({ storage: { sessions, messages }, name, clock }) {
    const created = await sessions.create({ id: name(), title: 'kept' })
    const summary = await sessions.summary(name())
    assert.deepEqual(summary, { ...created, lastSeq: 0, messageCount: 0, lastActiveAt: clock.now() })
    clock.advance(60)
    await messages.append(
      name(),
      times(3, () => ({ role: 'user', content: 'x' })),
    )
    const after = await sessions.summary(name())
    assert.deepEqual(after, { ...created, lastSeq: 3, messageCount: 3, lastActiveAt: clock.now() })
    assert.deepEqual(await sessions.get(name()), created)
    await sessions.update(name(), { title: 'new' })
    const { lastSeq, messageCount } = (await sessions.summary(name())) ?? {}
    assert.deepEqual([lastSeq, messageCount], [3, 3])
  },

  async 'list() returns the most recently active session first'({ storage: { sessions, messages }, name, clock }) {
    const ownerId = name('owner')
    for (const text of ['a', 'b', 'c']) {
      await sessions.create({ id: name(text), ownerId })
      clock.advance(1)
    }
    await sessions.create({ id: name('of nobody') })
    const listed = async () => (await sessions.list({ ownerId })).items.map(({ id }) => id)
    assert.deepEqual(await listed(), [name('c'), name('b'), name('a')])
    await messages.append(name('a'), { role: 'user', content: 'x' })
    assert.deepEqual(await listed(), [name('a'), name('c'), name('b')])
    const [first] = (await sessions.list({ ownerId })).items
    assert.deepEqual(first, await sessions.summary(name('a')))
    assert.deepEqual(await sessions.list({ ownerId: name('nobody') }), { items: [] })
    const everybody = await allPages((page) => sessions.list(page), 7)
    const own = everybody.filter(({ id }) => id.startsWith(name())).map(({ id }) => id)
    assert.deepEqual(own, [name('of nobody'), name('a'), name('c'), name('b')])
  },

  async 'list() by createdAt misses no session that becomes active during the walk'({ storage, name, clock }) {
    const { sessions, messages } = storage
    const ownerId = name('owner')
    const ids = times(40, (i) => name(String(99 - i)))
    for (const id of ids.toReversed()) {
      await sessions.create({ id, ownerId })
      clock.advance(2)
    }
    const walk = async (orderBy: 'createdAt' | undefined) => {
      const seen: string[] = []
      for (let cursor: string | undefined, next = true; next; next = cursor !== undefined) {
        const page = await sessions.list({ ownerId, orderBy, limit: 10, cursor })
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor
        const active = ids.find((id) => !seen.includes(id))
        if (active !== undefined) await messages.append(active, { role: 'user', content: 'x' })
        clock.advance(2)
      }
      return seen
    }
    assert.deepEqual(await walk('createdAt'), ids)
    const naive = await walk(undefined)
    assert.ok(naive.length < ids.length, 'a walk by lastActiveAt misses what moves to the front')
    const { nextCursor: cursor } = await sessions.list({ ownerId, limit: 10 })
    await invalid(sessions.list({ ownerId, orderBy: 'createdAt', cursor }), 'options.cursor')
    await invalid(sessions.list({ orderBy: 'title' as 'createdAt' }), 'options.orderBy')
  },

  async 'list() loses and repeats nothing when pages split equal times'({ storage: { sessions }, name, clock }) {
    const ownerId = name('owner')
    const ids: string[] = []
    for (const group of ['x', 'y', 'z']) {
      ids.unshift(...times(20, (i) => name(`${group}${String(99 - i)}`)))
      await Promise.all(ids.slice(0, 20).map((id) => sessions.create({ id, ownerId })))
      clock.advance(1)
    }
    for (const limit of [1, 7, 20, 60, 61, 1000]) {
      const items = await allPages((page) => sessions.list({ ownerId, ...page }), limit)
      assert.deepEqual(
        items.map(({ id }) => id),
        ids,
      )
    }
    assert.equal((await sessions.list({ ownerId })).items.length, 50)
    const { items, nextCursor: cursor } = await sessions.list({ ownerId, limit: 5 })
    await sessions.create({ id: name('newest'), ownerId })
    const next = await sessions.list({ ownerId, limit: 5, cursor })
    assert.deepEqual(
      [...items, ...next.items].map(({ id }) => id),
      ids.slice(0, 10),
    )
  },

  async 'create() accepts ids of up to 255 bytes'({ storage: { sessions } }) {
    for (const id of ['x'.repeat(255), 'ü'.repeat(127), '🗝'.repeat(63)]) {
      await sessions.create({ id })
      assert.equal(await sessions.delete(id), true)
    }
  },

  ...eachInput<[field: string, value: unknown, path?: string]>(
    [
      ['title', 'NUL \0 in it'],
      ['title', '\ud800'],
      ['title', 'x'.repeat(1001)],
      ['title', 5],
      ['ownerId', ''],
      ['ownerId', '\udfff'],
      ['ownerId', 'ü'.repeat(128)],
      ['metadata', null],
      ['metadata', []],
      ['metadata', { a: [{ b: Number.NaN }] }, 'metadata.a.0.b'],
      ['metadata', { when: new Date(0) }, 'metadata.when'],
      ['metadata', { big: 1n }, 'metadata.big'],
      ['metadata', { list: [undefined] }, 'metadata.list.0'],
      ['expiresAt', new Date(Number.NaN)],
      ['expiresAt', new Date('+010000-01-01T00:00:00Z')],
      ['expiresAt', new Date(-8.64e15)],
      ['expiresAt', '2030-01-01'],
    ],
    ([field, value]) => `create() and update() reject the ${field} ${shown(value)}`,
    async ([field, value, path = field], { storage: { sessions }, name }) => {
      const before = await sessions.create({ id: name(), title: 'before', metadata: { a: 1 } })
      const fields = { [field]: value } as Record<string, never> // what a program without types may pass
      await invalid(sessions.create({ ...fields, id: name('new') }), `session.${path}`)
      await invalid(sessions.update(name(), { title: 'x', ...fields }), `patch.${path}`)
      assert.deepEqual(await sessions.get(name()), before)
      assert.equal(await sessions.get(name('new')), undefined)
    },
  ),

  ...eachInput(
    ['', '\0', '\ud800', 'x'.repeat(256), '€'.repeat(86), 5 as unknown as string],
    (id) => `every call rejects the id ${shown(id)}`,
    async (id, { storage: { sessions }, name }) => {
      await invalid(sessions.create({ id }), 'session.id')
      await invalid(sessions.get(id), 'id')
      await invalid(sessions.summary(id), 'id')
      await invalid(sessions.update(id, {}), 'id')
      await invalid(sessions.mergeMetadata(id, {}), 'id')
      await invalid(sessions.delete(id), 'id')
      await invalid(sessions.fork(id), 'id')
      await invalid(sessions.fork(name(), { id }), 'options.id')
      await invalid(sessions.list({ ownerId: id }), 'options.ownerId')
    },
  ),

  async 'create() and mergeMetadata() reject unknown fields and values that are not JSON'({ storage, name }) {
    const { sessions } = storage
    const before = await sessions.create({ id: name(), metadata: { a: 1 } })
    await invalid(sessions.create({ id: name('new'), unknown: 1 } as object), 'session.unknown')
    await invalid(sessions.mergeMetadata(name(), { deep: [{ x: () => {} }] }), 'patch.deep.0.x')
    assert.deepEqual(await sessions.get(name()), before)
    assert.equal(await sessions.get(name('new')), undefined)
  },

  async 'update(), list() and fork() reject numbers out of range'({ storage: { sessions }, name }) {
    const before = await sessions.create({ id: name() })
    for (const ifVersion of [0, 1.5, 2 ** 53, Number.NaN]) {
      const call = sessions.update(name(), { title: 'x' }, { ifVersion })
      await invalid(call, 'options.ifVersion', `ifVersion ${ifVersion}`)
    }
    for (const limit of [0, -1, 1.5, 1001, 2 ** 53]) {
      await invalid(sessions.list({ limit }), 'options.limit', `limit ${limit}`)
    }
    for (const throughSeq of [-1, 0.5, 2 ** 53]) {
      await invalid(sessions.fork(name(), { throughSeq }), 'options.throughSeq', `throughSeq ${throughSeq}`)
    }
    assert.deepEqual(await sessions.get(name()), before)
  },

  async 'list() rejects cursors that it did not return'({ storage: { sessions } }) {
    await badCursors((cursor) => sessions.list({ cursor }))
  },
}
