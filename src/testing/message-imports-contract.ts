import assert from 'node:assert/strict'
import { isStorageError } from '../errors.ts'
import type { ImportedMessages, MessageImport } from '../repositories/messages/types.ts'
import { type Cases, invalid, refused, times } from './contract.ts'

const line = (sessionId: string, i: number): MessageImport => ({
  sessionId,
  id: `m${i}`,
  role: 'user',
  content: `${i}`,
})

/** `storage.messages.import()`. */
export const messageImportCases: Cases = {
  async 'import() appends the messages of several sessions in their order, and leaves known ones out'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const [a, b] = [name('a'), name('b')]
    const stored = await messages.append(a, { id: 'm1', role: 'user', content: 'stored' })
    const createdAt = clock.after(-60)
    const dump: MessageImport[] = [
      ...[
        line(a, 0),
        line(b, 0),
        line(a, 1),
        { ...line(b, 1), content: [{ type: 'text', text: '"\\é\n' }], createdAt },
      ],
      ...[line(a, 0), { ...line(a, 2), content: null, metadata: { z: 1, a: [null] } }],
    ]
    const reports: ImportedMessages[] = []
    const report = await messages.import(dump, { onProgress: (progress) => reports.push(progress) })
    assert.deepEqual(report, { added: 4, known: 2 })
    assert.deepEqual(reports, [report])
    const base = { role: 'user', metadata: {}, createdAt: clock.now() }
    assert.deepEqual((await messages.list(a)).items, [
      stored,
      { ...base, sessionId: a, seq: 2, id: 'm0', content: '0' },
      { ...base, sessionId: a, seq: 3, id: 'm2', content: null, metadata: { z: 1, a: [null] } },
    ])
    assert.deepEqual((await messages.list(b)).items, [
      { ...base, sessionId: b, seq: 1, id: 'm0', content: '0' },
      { ...base, sessionId: b, seq: 2, id: 'm1', content: [{ type: 'text', text: '"\\é\n' }], createdAt },
    ])
    assert.equal((await sessions.summary(a))?.messageCount, 3)
    assert.deepEqual(await messages.import(dump), { added: 0, known: 6 })
    assert.equal((await sessions.summary(a))?.lastSeq, 3)
    assert.deepEqual(await messages.import([]), { added: 0, known: 0 })
  },

  async 'import() takes an async iterable in batches, and adds messages without ids each time'({
    storage: { messages },
    name,
  }) {
    async function* source() {
      for (let i = 0; i < 2500; i++) yield { sessionId: name(), role: 'user', content: `${i}` }
    }
    const reports: number[] = []
    await messages.import(source(), { onProgress: ({ added }) => reports.push(added) })
    assert.equal(reports.at(-1), 2500)
    assert.ok(reports.length > 1)
    assert.deepEqual(await messages.import(source()), { added: 2500, known: 0 })
    const contents = (await messages.list(name(), { after: 2000, limit: 1000 })).items.map(({ content }) => content)
    assert.deepEqual(contents, [...times(500, (i) => `${2000 + i}`), ...times(500, (i) => `${i}`)])
  },

  async 'import() names the message that is not valid, and stores those before it'({ storage: { messages }, name }) {
    const dump: MessageImport[] = times(2000, (i) => line(name(), i))
    await invalid(messages.import(dump.with(1500, { ...line(name(), 1500), role: '' })), 'messages.1500.role')
    assert.equal((await messages.latest(name(), 1))[0]?.id, 'm1499')
    await invalid(messages.import([{ role: 'user', content: 'x' } as MessageImport]), 'messages.0.sessionId') // refused
    await invalid(messages.import(null as unknown as []), 'messages') // no iterable: refused
    await invalid(messages.import([], { onProgress: 1 as unknown as () => void }), 'options.onProgress') // refused
    assert.deepEqual(await messages.import(dump), { added: 500, known: 1500 })
    const { items } = await messages.list(name(), { after: 1400, limit: 200 })
    assert.deepEqual(
      items.map(({ id }) => id),
      times(200, (i) => `m${1400 + i}`),
    )
  },

  async 'import() fails with the error of its source, which it ends, and keeps what came before'({
    storage: { messages },
    name,
  }) {
    const failure = new Error('the disk is gone')
    async function* failing() {
      yield line(name(), 0)
      throw failure
    }
    const failed = await messages.import(failing()).catch((error: unknown) => error)
    assert.ok(isStorageError(failed, 'INVALID_INPUT'))
    assert.equal(failed.cause, failure)
    assert.equal(failed.details.problems[0]?.path, 'messages.1')
    assert.equal((await messages.list(name())).items.length, 1)
    let hasEnded = false
    function* wrong() {
      try {
        yield { ...line(name(), 1), id: '' }
      } finally {
        hasEnded = true
      }
    }
    await invalid(messages.import(wrong()), 'messages.0.id')
    assert.ok(hasEnded)
  },

  async 'import() ends when its signal is aborted, also while it waits for a message'({ storage: { messages }, name }) {
    const abort = new AbortController()
    async function* waiting() {
      yield* times(1100, (i) => line(name(), i))
      await new Promise(() => {})
    }
    const onProgress = () => abort.abort()
    await messages.import([line(name(), 0)])
    const ended = messages.import(waiting(), { signal: abort.signal, onProgress })
    await assert.rejects(ended, { name: 'StorageError', code: 'ABORTED', details: { added: 1023, known: 1 } })
    const stored = await messages.latest(name(), 1)
    assert.equal(stored[0]?.seq, 1024)
    await refused(messages.import([line(name(), 0)], { signal: AbortSignal.abort() }), 'ABORTED')
    await refused(
      messages.import(
        times(5000, (i) => line(name('b'), i)),
        { signal: abort.signal },
      ),
      'ABORTED',
    )
    assert.equal((await messages.list(name('b'))).items.length, 0)
  },

  async 'import() keeps every message once if others import and append to the same session'({
    storage: { messages },
    name,
  }) {
    const id = name()
    const dump = times(3000, (i) => line(id, i))
    const both = Promise.all([messages.import(dump), messages.import(dump)])
    for (let i = 0; i < 5; i++) await messages.append(id, { id: `other ${i}`, role: 'user', content: 'x' })
    const [one, other] = await both
    assert.deepEqual([one.added + other.added, one.known + other.known], [3000, 3000])
    const ids: string[] = []
    for await (const message of messages.iterate(id)) if (message.id.startsWith('m')) ids.push(message.id)
    assert.deepEqual(
      ids,
      dump.map((message) => message.id),
    )
    const [newest] = await messages.latest(id, 1)
    assert.equal(newest?.seq, 3005)
  },

  async 'import() begins an expired session anew'({ storage: { sessions, messages }, name, clock }) {
    await sessions.create({ id: name(), expiresAt: clock.after(60) })
    await messages.append(name(), { id: 'old', role: 'user', content: 'x' })
    clock.advance(61)
    assert.deepEqual(await messages.import([line(name('b'), 0), line(name(), 0)]), { added: 2, known: 0 })
    assert.deepEqual(
      (await messages.list(name())).items.map(({ seq, id }) => [seq, id]),
      [[1, 'm0']],
    )
  },

  async 'import() in a transaction is part of the transaction'({ storage, name }) {
    const { messages } = storage
    const undone = storage.transaction(async (tx) => {
      await tx.messages.import(times(1500, (i) => line(name(), i)))
      assert.equal((await tx.messages.import([line(name(), 3), line(name(), 1500)])).known, 1)
      await refused(messages.import([line(name(), 0)]), 'TRANSACTION_MISUSE')
      throw new Error('undone')
    })
    await assert.rejects(undone, /undone/)
    assert.deepEqual((await messages.list(name())).items, [])
  },
}
