import assert from 'node:assert/strict'
import type { Checkpoint, CheckpointInput } from '../repositories/checkpoints/types.ts'
import { allPages, badCursors, type Cases, type Fixture, invalid, refused } from './contract.ts'

/** The cases of `storage.checkpoints`. */
export const checkpointCases: Cases = {
  async 'latest() and get() return what put() has stored'({ storage: { checkpoints }, name, clock }) {
    const metadata = { '2': 1, step: -1, text: '\u0000\ud800', nested: { list: [null] } }
    const data = Uint8Array.from({ length: 256 }, (_, i) => i)
    const values = { messages: bytes('hello'), empty: bytes('') }
    const versions = { messages: '1', empty: '1.5', gone: '2' }
    const input = { threadId: name(), id: '1', type: 'msgpack', data, metadata, values, versions }
    assert.equal(await checkpoints.put(input), '1')
    const stored = { namespace: '', parentId: null, writes: [], createdAt: clock.now() }
    const expected: Checkpoint = { ...input, ...stored }
    assert.deepEqual(await checkpoints.latest({ threadId: name() }), expected)
    assert.deepEqual(await checkpoints.get({ threadId: name(), id: '1' }), expected)
    const { metadata: read } = (await checkpoints.get({ threadId: name(), id: '1' })) ?? {}
    assert.equal(JSON.stringify(read), JSON.stringify(metadata))
  },

  async 'latest() and get() return undefined if there is no such checkpoint'({ storage: { checkpoints }, name }) {
    await checkpoints.put(step(name(), 1))
    assert.equal(await checkpoints.latest({ threadId: name('other') }), undefined)
    assert.equal(await checkpoints.latest({ threadId: name(), namespace: 'child' }), undefined)
    assert.equal(await checkpoints.get({ threadId: name(), id: 'other' }), undefined)
  },

  async 'put() makes ids that sort by time'({ storage: { checkpoints }, name }) {
    const { id: _, ...input } = step(name(), 1)
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await checkpoints.put(input))
    assert.deepEqual(ids.toSorted(), ids)
    assert.equal((await checkpoints.latest({ threadId: name() }))?.id, ids.at(-1))
  },

  async 'latest() returns the greatest id in byte order'({ storage: { checkpoints }, name }) {
    for (const id of ['b', '\u{1f600}', 'a', '\uffee']) await checkpoints.put({ ...step(name(), 1), id })
    assert.equal((await checkpoints.latest({ threadId: name() }))?.id, '\u{1f600}')
    const { items } = await checkpoints.list({ threadId: name() })
    assert.deepEqual(ids(items), ['\u{1f600}', '\uffee', 'b', 'a'])
  },

  async 'put() replaces a checkpoint with this id'({ storage: { checkpoints }, name }) {
    await checkpoints.put(step(name(), 1))
    await checkpoints.put({ ...step(name(), 1), parentId: '0', ...bytes('new') })
    const { items } = await checkpoints.list({ threadId: name() })
    assert.deepEqual(
      items.map(({ parentId, data }) => [parentId, textOf(data)]),
      [['0', 'new']],
    )
  },

  async 'put() takes a value from the checkpoint that has stored it'({ storage: { checkpoints }, name }) {
    const threadId = name()
    await checkpoints.put(
      step(threadId, 1, { versions: { a: '1', b: '1' }, values: { a: bytes('a1'), b: bytes('b1') } }),
    )
    await checkpoints.put(step(threadId, 2, { versions: { a: '2', b: '1' }, values: { a: bytes('a2') } }))
    await checkpoints.put(step(threadId, 3, { versions: { b: '1' } }))
    const { items } = await checkpoints.list({ threadId })
    assert.deepEqual(
      items.map(({ values }) => valuesOf(values)),
      [{ b: 'b1' }, { a: 'a2', b: 'b1' }, { a: 'a1', b: 'b1' }],
    )
  },

  async 'put() takes no value of another thread or namespace'({ storage: { checkpoints }, name }) {
    const versions = { a: '1' }
    await checkpoints.put(step(name(), 1, { versions, values: { a: bytes('a') } }))
    await checkpoints.put(step(name('other'), 1, { versions }))
    await checkpoints.put(step(name(), 1, { versions, namespace: 'child' }))
    assert.deepEqual((await checkpoints.latest({ threadId: name('other') }))?.values, {})
    assert.deepEqual((await checkpoints.latest({ threadId: name(), namespace: 'child' }))?.values, {})
  },

  async 'put() accepts a value again, and refuses another one at its version'({ storage: { checkpoints }, name }) {
    const threadId = name()
    const versions = { a: '1', b: '1' }
    await checkpoints.put(step(threadId, 1, { versions, values: { a: bytes('a'), b: bytes('b') } }))
    await checkpoints.put(step(threadId, 2, { versions, values: { b: bytes('b') } }))
    await refused(checkpoints.put(step(threadId, 3, { versions, values: { b: bytes('other') } })), 'INVALID_STATE')
    const otherType = { b: { ...bytes('b'), type: 'other' } }
    await refused(checkpoints.put(step(threadId, 3, { versions, values: otherType })), 'INVALID_STATE')
    const { items } = await checkpoints.list({ threadId })
    assert.deepEqual(ids(items), ['2', '1'])
    for (const { values } of items) assert.deepEqual(valuesOf(values), { a: 'a', b: 'b' })
  },

  async 'list() returns the newest first, page by page'({ storage: { checkpoints }, name }) {
    for (let i = 1; i <= 7; i++) {
      await checkpoints.put(step(name(), i, { versions: { a: `${i}` }, values: { a: bytes(`${i}`) } }))
      await checkpoints.put(step(name(), i, { namespace: i % 2 ? 'odd' : 'even' }))
      await checkpoints.put(step(name('other'), i))
    }
    const listed = await allPages((page) => checkpoints.list({ threadId: name(), ...page }), 4)
    const expected = [7, 6, 5, 4, 3, 2, 1].flatMap((i) => [`${i}${i % 2 ? 'odd' : 'even'}`, `${i}`])
    assert.deepEqual(
      listed.map(({ id, namespace }) => id + namespace),
      expected,
    )
    const outer = await allPages((page) => checkpoints.list({ threadId: name(), namespace: '', ...page }), 3)
    assert.deepEqual(
      outer.map(({ id, values }) => [id, valuesOf(values)]),
      [7, 6, 5, 4, 3, 2, 1].map((i) => [`${i}`, { a: `${i}` }]),
    )
    const before = await allPages(
      (page) => checkpoints.list({ threadId: name(), namespace: '', before: '4', ...page }),
      2,
    )
    assert.deepEqual(ids(before), ['3', '2', '1'])
  },

  async 'list() filters by metadata'({ storage: { checkpoints }, name }) {
    const all = [
      { n: 1 },
      { n: true },
      { n: '1' },
      { n: null },
      { n: 1.5 },
      { n: { a: [1], b: 2 } },
      { n: 1, 'a"b': 2 },
      {},
      { 'a\0': '\0' }, // which PostgreSQL refuses to look into
    ]
    for (const [i, metadata] of all.entries()) await checkpoints.put({ ...step(name(), i), metadata })
    const found = async (metadata: object) => ids((await checkpoints.list({ threadId: name(), metadata })).items)
    assert.deepEqual(await found({ n: 1 }), ['6', '0'])
    assert.deepEqual(await found({ n: true }), ['1'])
    assert.deepEqual(await found({ n: '1' }), ['2'])
    assert.deepEqual(await found({ n: null }), ['3'])
    assert.deepEqual(await found({ n: 1.5 }), ['4'])
    assert.deepEqual(await found({ n: { a: [1], b: 2 } }), ['5'])
    assert.deepEqual(await found({ n: 1, 'a"b': 2 }), ['6'])
    assert.deepEqual(await found({ n: 1, 'a"b': undefined }), ['6', '0'])
    assert.deepEqual(await found({ n: { a: [1] } }), [])
    assert.deepEqual(await found({ other: null }), [])
    assert.equal((await found({})).length, all.length)
  },

  async 'putWrites() keeps what it has stored, in the order of the tasks'({ storage: { checkpoints }, name }) {
    const threadId = name()
    const write = (channel: string, text: string) => ({ channel, ...bytes(text) })
    // Before the checkpoint: a run does not wait for it.
    await checkpoints.putWrites({ threadId, id: '1', taskId: 'b', taskPath: 'p' }, [write('x', '1'), write('y', '2')])
    await checkpoints.put(step(threadId, 1))
    await checkpoints.put(step(threadId, 2))
    await checkpoints.putWrites({ threadId, id: '1', taskId: 'z' }, [write('x', '3')])
    await checkpoints.putWrites({ threadId, id: '1', taskId: 'a', taskPath: 'p' }, [write('x', '4')])
    await checkpoints.putWrites({ threadId, id: '1', taskId: 'a', taskPath: 'p' }, [write('x', 'no'), write('x', '5')])
    await checkpoints.putWrites({ threadId, id: '1', taskId: 'a' }, [])
    const checkpoint = await checkpoints.get({ threadId, id: '1' })
    assert.deepEqual(
      checkpoint?.writes.map(({ taskPath, taskId, index, data }) => [taskPath, taskId, index, textOf(data)]),
      [
        ['', 'z', 0, '3'],
        ['p', 'a', 0, '4'],
        ['p', 'a', 1, '5'],
        ['p', 'b', 0, '1'],
        ['p', 'b', 1, '2'],
      ],
    )
    assert.deepEqual((await checkpoints.latest({ threadId }))?.writes, [])
  },

  async 'putWrites() replaces a write with a negative index'({ storage: { checkpoints }, name }) {
    const task = { threadId: name(), id: '1', taskId: 'a' }
    await checkpoints.put(step(name(), 1))
    await checkpoints.putWrites(task, [{ channel: 'error', index: -1, ...bytes('first') }])
    await checkpoints.putWrites(task, [
      { channel: 'x', ...bytes('x') },
      { channel: 'error', index: -1, ...bytes('second') },
    ])
    const checkpoint = await checkpoints.latest({ threadId: name() })
    assert.deepEqual(
      checkpoint?.writes.map(({ index, data }) => [index, textOf(data)]),
      [
        [-1, 'second'],
        [0, 'x'],
      ],
    )
  },

  async 'putWrites() stores many writes at once'({ storage: { checkpoints }, name }) {
    await checkpoints.put(step(name(), 1))
    const writes = Array.from({ length: 1000 }, (_, i) => ({ channel: 'x', ...bytes(`${i}`) }))
    await checkpoints.putWrites({ threadId: name(), id: '1', taskId: 'a' }, writes)
    const stored = (await checkpoints.latest({ threadId: name() }))?.writes.map(({ data }) => textOf(data))
    assert.deepEqual(
      stored,
      writes.map(({ data }) => textOf(data)),
    )
    await invalid(checkpoints.putWrites({ threadId: name(), id: '1', taskId: 'a' }, [...writes, ...writes]), 'writes')
  },

  async 'deleteThread() removes the thread and no other'({ storage: { checkpoints }, name }) {
    for (const thread of ['', 'other']) {
      for (const namespace of ['', 'child']) {
        await fill(checkpoints, name(thread), 3, namespace)
      }
    }
    assert.equal(await checkpoints.deleteThread(name()), true)
    assert.equal(await checkpoints.deleteThread(name()), false)
    assert.deepEqual((await checkpoints.list({ threadId: name() })).items, [])
    const kept = (await checkpoints.list({ threadId: name('other') })).items
    assert.equal(kept.length, 6)
    for (const { id, values, writes } of kept) {
      assert.deepEqual(valuesOf(values), { a: id, b: 'b' })
      assert.equal(writes.length, 1)
    }
    // Nothing of the old thread comes back.
    await checkpoints.put(step(name(), 1, { versions: { a: '1' } }))
    const again = await checkpoints.latest({ threadId: name() })
    assert.deepEqual([again?.values, again?.writes], [{}, []])
  },

  async 'prune() keeps the newest of each namespace, with their values and writes'({ storage: { checkpoints }, name }) {
    await fill(checkpoints, name(), 9, '')
    await fill(checkpoints, name(), 2, 'child')
    await fill(checkpoints, name('other'), 4, '')
    assert.equal(await checkpoints.prune(name(), { keepLast: 3 }), 6)
    assert.equal(await checkpoints.prune(name(), { keepLast: 3 }), 0)
    const { items } = await checkpoints.list({ threadId: name() })
    assert.deepEqual(
      items.map(({ id, namespace, values, writes }) => [namespace, id, valuesOf(values), writes.length]),
      [
        ['', '9', { a: '9', b: 'b' }, 1],
        ['', '8', { a: '8', b: 'b' }, 1],
        ['', '7', { a: '7', b: 'b' }, 1],
        ['child', '2', { a: '2', b: 'b' }, 1],
        ['child', '1', { a: '1', b: 'b' }, 1],
      ],
    )
    // The values and the writes of the others are gone as well.
    await checkpoints.put(step(name(), 1, { versions: { a: '1', b: '1' } }))
    const again = await checkpoints.get({ threadId: name(), id: '1' })
    assert.deepEqual([again && valuesOf(again.values), again?.writes], [{ b: 'b' }, []])
    assert.equal((await checkpoints.list({ threadId: name('other') })).items.length, 4)
  },

  async 'prune() keeps writes whose checkpoint is still to come'({ storage: { checkpoints }, name }) {
    const threadId = name()
    await checkpoints.put(step(threadId, 1))
    await checkpoints.put(step(threadId, 2))
    await checkpoints.putWrites({ threadId, id: '3', taskId: 'a' }, [{ channel: 'x', ...bytes('x') }])
    assert.equal(await checkpoints.prune(threadId, { keepLast: 1 }), 1)
    await checkpoints.put(step(threadId, 3))
    assert.equal((await checkpoints.latest({ threadId }))?.writes.length, 1)
  },

  async 'prune() keeps the ancestors that a checkpoint needs'({ storage: { checkpoints }, name }) {
    const threadId = name()
    for (let i = 1; i <= 9; i++) await checkpoints.put(step(threadId, i, { ancestors: i % 4 }))
    assert.equal(await checkpoints.prune(threadId, { keepLast: 2 }), 7) // 9 needs 8, which is kept
    const branch = name('branch')
    for (let i = 1; i <= 5; i++) await checkpoints.put(step(branch, i))
    await checkpoints.put(step(branch, 6, { parentId: '3', ancestors: 2 }))
    assert.equal(await checkpoints.prune(branch, { keepLast: 1 }), 3)
    assert.deepEqual(ids((await checkpoints.list({ threadId: branch })).items), ['6', '3', '2'])
  },

  async 'transactions cover checkpoints'({ storage, name }) {
    const threadId = name()
    const failure = new Error('no')
    const body = storage.transaction(async ({ checkpoints }) => {
      await fill(checkpoints, threadId, 2, '')
      assert.equal((await checkpoints.latest({ threadId }))?.id, '2')
      throw failure
    })
    await assert.rejects(body, (error) => error === failure)
    assert.equal(await storage.checkpoints.latest({ threadId }), undefined)
    await storage.transaction(({ checkpoints }) => fill(checkpoints, threadId, 2, ''))
    assert.equal((await storage.checkpoints.latest({ threadId }))?.id, '2')
  },

  async 'scopes have threads of their own'({ storage, name }) {
    const ada = storage.scope({ ownerId: name('ada') })
    const bob = storage.scope({ ownerId: name('bob') })
    const versions = { a: '1' }
    await ada.checkpoints.put(step(name(), 1, { versions, values: { a: bytes('ada') } }))
    await bob.checkpoints.put(step(name(), 1, { versions, values: { a: bytes('bob') } }))
    await bob.checkpoints.putWrites({ threadId: name(), id: '1', taskId: 'a' }, [{ channel: 'x', ...bytes('x') }])
    assert.equal(await storage.checkpoints.latest({ threadId: name() }), undefined)
    assert.equal(await storage.checkpoints.deleteThread(name()), false)
    const [first] = (await ada.checkpoints.list()).items
    assert.deepEqual([first && valuesOf(first.values), first?.writes], [{ a: 'ada' }, []])
    const { rows } = await storage.erase({ ownerId: name('bob') })
    assert.deepEqual(rows, { checkpoints: 1, checkpointValues: 1, checkpointWrites: 1 })
    assert.equal(await bob.checkpoints.latest({ threadId: name() }), undefined)
    assert.equal(await ada.checkpoints.deleteThread(name()), true)
  },

  async 'put(), putWrites(), list() and prune() reject what is not valid'({ storage: { checkpoints }, name }) {
    const input = step(name(), 1)
    await invalid(checkpoints.put({ ...input, threadId: '' }), 'checkpoint.threadId')
    await invalid(checkpoints.put({ ...input, namespace: 'x'.repeat(1025) }), 'checkpoint.namespace')
    await invalid(checkpoints.put({ ...input, id: 'x\0' }), 'checkpoint.id')
    await invalid(checkpoints.put({ ...input, ancestors: -1 }), 'checkpoint.ancestors')
    await invalid(checkpoints.put({ ...input, metadata: { at: new Date() } }), 'checkpoint.metadata.at')
    await invalid(checkpoints.put({ ...input, versions: { a: 'x'.repeat(65) } }), 'checkpoint.versions.a')
    await invalid(checkpoints.put({ ...input, values: { a: bytes('a') } }), 'checkpoint.values.a')
    // @ts-expect-error: no bytes
    await invalid(checkpoints.put({ ...input, data: 'text' }), 'checkpoint.data')
    await invalid(checkpoints.latest({ threadId: 'x'.repeat(256) }), 'thread.threadId')
    await invalid(checkpoints.get({ threadId: name(), id: '' }), 'key.id')
    await invalid(checkpoints.putWrites({ threadId: name(), id: '1', taskId: '' }, []), 'task.taskId')
    const write = { channel: '', ...bytes('x') }
    await invalid(checkpoints.putWrites({ threadId: name(), id: '1', taskId: 'a' }, [write]), 'writes.0.channel')
    await invalid(checkpoints.list({ limit: 0 }), 'options.limit')
    await invalid(checkpoints.list({ before: '' }), 'options.before')
    await invalid(checkpoints.deleteThread(''), 'threadId')
    await invalid(checkpoints.prune(name(), { keepLast: 0 }), 'options.keepLast')
    assert.equal(await checkpoints.latest({ threadId: name() }), undefined)
  },

  async 'list() rejects cursors that it did not return'({ storage: { checkpoints } }) {
    await badCursors((cursor) => checkpoints.list({ cursor }))
  },
}

type Checkpoints = Fixture['storage']['checkpoints']

function step(threadId: string, n: number, more: Partial<CheckpointInput> = {}): CheckpointInput & { id: string } {
  return { threadId, id: `${n}`, parentId: n > 1 ? `${n - 1}` : null, ...bytes(`step ${n}`), ...more }
}

/** Stores checkpoints with a channel that changes, one that does not, and a write. */
async function fill(checkpoints: Checkpoints, threadId: string, count: number, namespace: string): Promise<void> {
  for (let i = 1; i <= count; i++) {
    const values = { a: bytes(`${i}`), ...(i === 1 && { b: bytes('b') }) }
    await checkpoints.put(step(threadId, i, { namespace, versions: { a: `${i}`, b: '1' }, values }))
    const task = { threadId, namespace, id: `${i}`, taskId: 'task' }
    await checkpoints.putWrites(task, [{ channel: 'a', ...bytes(`${i}`) }])
  }
}

function bytes(text: string): { type: string; data: Uint8Array } {
  return { type: 'text', data: Uint8Array.from(Buffer.from(text)) }
}

function textOf(data: Uint8Array): string {
  return Buffer.from(data).toString()
}

function ids(items: readonly { id: string }[]): string[] {
  return items.map(({ id }) => id)
}

function valuesOf(values: Record<string, { data: Uint8Array }>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([channel, { data }]) => [channel, textOf(data)]))
}
