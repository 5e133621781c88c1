import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { BlobCleanup } from '../blobs/types.ts'
import type { Storage } from '../storage/types.ts'
import { type Cases, eachInput, type Fixture } from './contract.ts'

const DAY = 86_400
const UNUSED_DAYS = 40

/** A place that can name a blob. `id` is the id of the blob, and `key` is a name that no other case uses. */
interface Place {
  where: string
  write(storage: Storage, id: string, key: string): Promise<unknown>
  /** Removes the name. Left out if nothing can remove it. */
  erase?(storage: Storage, id: string, key: string): Promise<unknown>
}

const identityOf = (runId: string) => ({ runId, turnId: 't', modelStepId: 's', toolCallId: 'c' })
const deleteSession: Place['erase'] = (storage, _, key) => storage.sessions.delete(key)

const PLACES: Place[] = [
  {
    where: 'the metadata of a session',
    write: ({ sessions }, id, key) => sessions.create({ id: key, metadata: { cover: { blob: id } } }),
    erase: deleteSession,
  },
  {
    where: 'the title of a session',
    write: ({ sessions }, id, key) => sessions.create({ id: key, title: `About ${id}` }),
    erase: deleteSession,
  },
  {
    where: 'a message without "blob:"',
    write: ({ messages }, id, key) => messages.append(key, { role: 'user', content: `"${id}"\n\\ü` }),
    erase: deleteSession,
  },
  {
    where: 'the metadata of a message without "blob:"',
    write: ({ messages }, id, key) => messages.append(key, { role: 'tool', content: null, metadata: { [id]: 1 } }),
    erase: deleteSession,
  },
  {
    where: 'the value of a key',
    write: ({ kv }, id, key) => kv.set(key, { deep: [{ blob: `blob:${id}` }] }),
    erase: ({ kv }, _, key) => kv.delete(key),
  },
  {
    where: 'a key beside other digits',
    write: ({ kv }, id) => kv.set(`feed${id}cafe`, 1),
    erase: ({ kv }, id) => kv.delete(`feed${id}cafe`),
  },
  {
    where: 'an item of a list',
    write: ({ lists }, id, key) => lists.append(key, 'first', { blob: id }),
    erase: ({ lists }, _, key) => lists.delete(key),
  },
  {
    where: 'an item of a queue',
    write: ({ queues }, id, key) => queues.push(key, 'steer', { id: 'i', blob: id }),
    erase: ({ queues }, _, key) => queues.takeAll(key, 'steer'),
  },
  {
    where: 'the content of a memory',
    write: ({ memories }, id, key) => memories.create({ content: id, tags: [key.slice(-50)] }),
    erase: eraseMemory,
  },
  {
    where: 'the metadata of a memory',
    write: ({ memories }, id, key) => memories.create({ content: 'x', metadata: { blob: id }, tags: [key.slice(-50)] }),
    erase: eraseMemory,
  },
  {
    where: 'a tag of a memory',
    write: ({ memories }, id, key) => memories.create({ content: 'x', tags: [id, key.slice(-50)] }),
    erase: eraseMemory,
  },
  {
    where: 'an event',
    write: ({ events }, id, key) => events.append({ type: 'a', sessionId: key, payload: { blob: id } }),
    erase: deleteSession,
  },
  {
    where: 'the content of a prompt',
    write: ({ prompts }, id, key) => prompts.save({ name: key, content: { image: id } }),
    erase: ({ prompts }, _, key) => prompts.delete(key),
  },
  {
    where: 'the description of a prompt',
    write: ({ prompts }, id, key) => prompts.save({ name: key, content: 'x', description: id }),
    erase: ({ prompts }, _, key) => prompts.save({ name: key, content: 'x' }),
  },
  {
    where: 'the metadata of a workspace',
    write: ({ workspaces }, id, key) => workspaces.save({ path: key, metadata: { icon: id } }),
    erase: ({ workspaces }, _, key) => workspaces.save({ path: key }),
  },
  {
    where: 'the state of a tool',
    write: ({ toolState }, id, key) => toolState.set('tool', key, [id]),
    erase: ({ toolState }, _, key) => toolState.delete('tool', key),
  },
  {
    where: 'the input of a tool execution',
    write: ({ toolExecutions }, id, key) =>
      toolExecutions.start({ identity: identityOf(key), toolName: 'tool', input: { blob: id } }),
  },
  {
    where: 'the output of a tool execution',
    async write({ toolExecutions }, id, key) {
      const { record } = await toolExecutions.start({ identity: identityOf(key), toolName: 'tool' })
      await toolExecutions.complete(record.executionId, { blob: id })
    },
  },
  {
    where: 'the request of an approval',
    write: ({ approvals }, id, key) => approvals.request({ sessionId: key, type: 'tool', request: { blob: id } }),
    erase: deleteSession,
  },
  {
    where: 'the response to an approval',
    async write({ approvals }, id, key) {
      const approval = await approvals.request({ sessionId: key, type: 'tool' })
      await approvals.respond({ id: approval.id, decision: 'approved', data: { blob: id } })
    },
    erase: deleteSession,
  },
  {
    where: 'the state of approvals',
    write: ({ approvals }, id, key) => approvals.setState({ last: id }, key),
    erase: ({ approvals }, _, key) => approvals.deleteState(key),
  },
  {
    where: 'an allowed tool',
    write: ({ toolPreferences }, id, key) => toolPreferences.allow(id, key),
    erase: ({ toolPreferences }, id, key) => toolPreferences.disallow(id, key),
  },
  {
    where: 'the preferences for tools',
    write: ({ toolPreferences }, id, key) => toolPreferences.setPreferences({ disabled: [id] }, key),
    erase: ({ toolPreferences }, _, key) => toolPreferences.deletePreferences(key),
  },
  {
    where: 'the metadata of another blob',
    write: ({ blobs }, id, key) => blobs.put(randomBytes(10), { source: key, metadata: { original: id } }),
    async erase({ blobs }, _, key) {
      for (const { id } of (await blobs.list({ source: key })).items) await blobs.delete(id)
    },
  },
]

async function eraseMemory({ memories }: Storage, _: string, key: string): Promise<void> {
  for (const { id } of (await memories.list({ tags: [key.slice(-50)] })).items) await memories.delete(id)
}

/** The cases of the cleanup of blobs, and of what keeps a blob. */
export const blobCleanupCases: Cases = {
  ...eachInput(
    PLACES,
    ({ where, erase }) => `cleanup() keeps a blob that ${where} names${erase ? ', until the name is gone' : ''}`,
    async ({ write, erase }, { storage, clock, name }) => {
      const named = await storage.blobs.put(randomBytes(100))
      const unnamed = await storage.blobs.put(randomBytes(100))
      await write(storage, named.id, name())
      await cleanUpUnused(storage, clock)
      assert.equal(await storage.blobs.exists(named.id), true)
      assert.equal(await storage.blobs.exists(unnamed.id), false)
      if (!erase) return
      await erase(storage, named.id, name())
      await cleanUpUnused(storage, clock)
      assert.equal(await storage.blobs.exists(named.id), false)
    },
  ),

  async 'cleanup() counts only blobs that no text names if dryRun is set, and changes nothing'({
    storage: { blobs, kv },
    clock,
    name,
  }) {
    await blobs.cleanup({ olderThan: clock.after(1000 * DAY) }) // removes the blobs of other cases
    const named = await blobs.put(randomBytes(100))
    const unnamed = await blobs.put(randomBytes(30))
    await kv.set(name(), named.uri)
    clock.advance(UNUSED_DAYS * DAY)
    const found = await blobs.cleanup({ olderThan: clock.after(-DAY), dryRun: true })
    assert.deepEqual(found, { removed: 1, bytes: 30 })
    assert.deepEqual(await lastUseOf(blobs, named.id), named.lastUsedAt)
    assert.equal(await blobs.exists(unnamed.id), true)
  },

  async 'cleanup() reports every blob that it removes or counts'({ storage: { blobs }, clock }) {
    const olderThan = await twoExpiredAndTwoUnused(blobs, clock)
    for (const dryRun of [true, false]) {
      const seen: BlobCleanup[] = []
      const total = await blobs.cleanup({ olderThan, dryRun, onProgress: (progress) => seen.push(progress) })
      assert.deepEqual(
        seen.map(({ removed }) => removed),
        [1, 2, 3, 4],
      )
      assert.deepEqual(seen.at(-1), total)
    }
  },

  async 'cleanup() rejects when its signal is aborted, and what was removed stays removed'({
    storage: { blobs },
    clock,
  }) {
    const aborted = AbortSignal.abort(new Error('enough'))
    await assert.rejects(blobs.cleanup({ signal: aborted }), { code: 'ABORTED', cause: aborted.reason })
    const olderThan = await twoExpiredAndTwoUnused(blobs, clock)
    const { count } = await blobs.stats()
    for (const last of [1, 2, 3]) {
      const ending = new AbortController()
      const onProgress = ({ removed }: BlobCleanup) => {
        if (removed === 1) ending.abort()
      }
      await assert.rejects(blobs.cleanup({ olderThan, signal: ending.signal, onProgress }), { code: 'ABORTED' })
      assert.equal((await blobs.stats()).count, count - last)
    }
    assert.equal((await blobs.cleanup({ olderThan })).removed, 1)
  },

  async 'cleanup() keeps a blob that was read since, whenever its last use was recorded'({
    storage: { blobs },
    clock,
  }) {
    const { id } = await blobs.put(randomBytes(100))
    for (let minutes = 0; minutes < 3 * 60; minutes += 7) {
      clock.advance(7 * 60)
      await blobs.bytes(id)
      await blobs.cleanup({ olderThan: clock.after(-1) })
      assert.equal(await blobs.exists(id), true)
    }
    clock.advance(2 * 3600 + 1)
    await blobs.cleanup({ olderThan: clock.after(-3600) })
    assert.equal(await blobs.exists(id), false)
  },

  async 'cleanup() removes a blob that expired before 1970'({ storage: { blobs } }) {
    const { count } = await blobs.stats()
    await blobs.put(randomBytes(100), { expiresAt: new Date('1969-07-20') })
    assert.equal((await blobs.cleanup()).removed, 1)
    assert.equal((await blobs.stats()).count, count)
  },

  async 'bytes() records a use at most once an hour'({ storage: { blobs }, clock }) {
    const { id, createdAt } = await blobs.put(randomBytes(100))
    clock.advance(3599)
    await blobs.bytes(id)
    assert.deepEqual(await lastUseOf(blobs, id), createdAt)
    clock.advance(1)
    await blobs.bytes(id)
    assert.deepEqual(await lastUseOf(blobs, id), clock.now())
  },

  async 'cleanup() counts a name as a use'({ storage: { blobs, kv }, clock, name }) {
    const { id } = await blobs.put(randomBytes(100))
    await kv.set(name(), id)
    clock.advance(UNUSED_DAYS * DAY)
    await blobs.cleanup({ olderThan: clock.after(-DAY) })
    assert.deepEqual(await lastUseOf(blobs, id), clock.now())
  },
}

/** Stores two blobs of each kind that a cleanup removes. Returns its `olderThan`. */
async function twoExpiredAndTwoUnused(blobs: Storage['blobs'], clock: Fixture['clock']): Promise<Date> {
  await blobs.cleanup({ olderThan: clock.after(1000 * DAY) }) // removes the blobs of other cases
  for (const size of [10, 20]) {
    await blobs.put(randomBytes(size), { expiresAt: new Date('1969-07-20') })
    await blobs.put(randomBytes(size))
  }
  clock.advance(UNUSED_DAYS * DAY)
  return clock.after(-DAY)
}

async function cleanUpUnused({ blobs }: Storage, clock: Fixture['clock']): Promise<void> {
  clock.advance(UNUSED_DAYS * DAY)
  await blobs.cleanup({ olderThan: clock.after(-DAY) })
}

/** Returns when a blob was last used. Asks the list, because get() is a use. */
async function lastUseOf(blobs: Storage['blobs'], id: string): Promise<Date | undefined> {
  return (await blobs.list()).items.find((record) => record.id === id)?.lastUsedAt
}
