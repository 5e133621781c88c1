import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type { MastraDBMessage } from '@mastra/core/memory'
import type { Storage } from 'holdfast'
import { HoldfastMemory } from 'holdfast/mastra'
import { expect, it, vi } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second))

function say(threadId: string, id: string, second: number): MastraDBMessage {
  const content = { format: 2 as const, parts: [{ type: 'text' as const, text: id }] }
  return { id, role: 'user', threadId, createdAt: at(second), content }
}

/** Makes a memory of an owner with threads of the resource `ada`. */
async function begin(storage: Storage, ...threadIds: string[]) {
  const scope = storage.scope({ ownerId: randomUUID() })
  const memory = new HoldfastMemory(scope)
  for (const [i, id] of threadIds.entries())
    await memory.saveThread({ thread: { id, resourceId: 'ada', createdAt: at(i), updatedAt: at(i) } })
  return { scope, memory }
}

eachDatabase((open) => {
  it('listThreads() counts no thread that others have removed, and finds what was given to an owner', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, '1', '2', '3')
    await scope.sessions.delete('1')
    const list = () => memory.listThreads({ filter: { resourceId: 'ada' }, perPage: 1 })
    expect(await list()).toMatchObject({ threads: [{ id: '3' }], total: 2 })
    const id = randomUUID()
    const thread = { id, resourceId: 'ada', createdAt: at(4), updatedAt: at(4) }
    await new HoldfastMemory(storage).saveThread({ thread })
    await storage.sessions.update(id, { ownerId: scope.ownerId })
    expect(await list()).toMatchObject({ threads: [{ id }], total: 3 })
  })

  it('listThreads() keeps a thread in the index that another call removes and creates again at that moment', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 't')
    const { sessions } = scope
    const summary = sessions.summary.bind(sessions)
    vi.spyOn(sessions, 'summary').mockImplementationOnce(async (id) => {
      await memory.deleteThread({ threadId: id })
      const none = await summary(id)
      await memory.saveThread({ thread: { id, resourceId: 'ada', createdAt: at(1), updatedAt: at(1) } })
      return none
    })
    const list = () => memory.listThreads({ filter: { resourceId: 'ada' } })
    await list()
    expect(await list()).toMatchObject({ threads: [{ id: 't' }], total: 1 })
  })

  it('a fork of a thread is listed once a message is saved to it, or it is changed or saved itself', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 'trunk')
    const list = async (resourceId: string) =>
      (await memory.listThreads({ filter: { resourceId } })).threads.map(({ id }) => id).toSorted()
    for (const id of ['f1', 'f2', 'f3', 'f4', 'f5']) await scope.sessions.fork(id === 'f5' ? 'f1' : 'trunk', { id })
    await memory.saveMessages({ messages: [say('f1', 'm1', 1)] })
    await memory.updateThread({ id: 'f2', title: 'Another way' })
    await memory.saveThread({ thread: { id: 'f3', resourceId: 'ada', createdAt: at(0), updatedAt: at(9) } })
    await memory.updateThreadResourceId({ threadId: 'f4', resourceId: 'bob' })
    await scope.sessions.fork('f1', { id: 'f6' }) // of a fork that is listed
    await memory.saveMessages({ messages: [say('f6', 'm2', 2)] })
    expect([await list('ada'), await list('bob')]).toEqual([['f1', 'f2', 'f3', 'f6', 'trunk'], ['f4']])
    for (const id of ['f1', 'f6']) await scope.sessions.delete(id)
    await memory.saveMessages({ messages: [say('f5', 'm1', 1)] })
    expect(await list('ada')).toEqual(['f2', 'f3', 'f5', 'trunk'])
  })

  it('a fork that is given away or removed while a message is saved to it is not in the list of the resource before', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 'trunk')
    const summary = scope.sessions.summary.bind(scope.sessions)
    for (const meanwhile of [
      () => memory.updateThreadResourceId({ threadId: 'f', resourceId: 'bob' }),
      () => scope.sessions.delete('f'),
    ]) {
      await scope.sessions.fork('trunk', { id: 'f' })
      vi.spyOn(scope.sessions, 'summary').mockImplementationOnce(async (id) => {
        const seen = await summary(id)
        await meanwhile()
        return seen
      })
      await memory.saveMessages({ messages: [say('f', 'm1', 1)] })
      expect((await memory.listThreads({ filter: { resourceId: 'ada' } })).threads).toMatchObject([{ id: 'trunk' }])
      await memory.deleteThread({ threadId: 'f' })
    }
  })

  it('updateThreadMetadata() changes no thread that was given away before the lock', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 't')
    const summary = scope.sessions.summary.bind(scope.sessions)
    vi.spyOn(scope.sessions, 'summary').mockImplementationOnce(async (id) => {
      const seen = await summary(id)
      await memory.updateThreadResourceId({ threadId: 't', resourceId: 'bob' })
      return seen
    })
    const update = vi.fn(() => ({ note: 'of ada' }))
    expect(await memory.updateThreadMetadata({ id: 't', resourceId: 'ada', update })).toBeNull()
    expect(update).not.toHaveBeenCalled()
    expect(await memory.getThreadById({ threadId: 't', resourceId: 'bob' })).not.toHaveProperty('metadata')
  })

  it('updateMessages() moves messages into a new thread, which is in the order of their times', async () => {
    await using storage = await open()
    const { memory } = await begin(storage, 'from')
    await memory.saveMessages({ messages: [say('from', 'm1', 1), say('from', 'm2', 2)] })
    await memory.updateMessages({ messages: ['m2', 'm1'].map((id) => ({ id, threadId: 'to' })) })
    const { messages, total } = await memory.listMessages({ threadId: 'to', perPage: 1 })
    expect([messages[0]?.id, total]).toEqual(['m1', 2])
  })

  it('the time of change of a thread never goes back when its session changes', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 't')
    const updatedAt = async () => (await memory.getThreadById({ threadId: 't' }))?.updatedAt ?? at(0)
    await setTimeout(1001) // an activity is noted once a second
    const began = new Date()
    await memory.saveMessages({ messages: [say('t', 'm2', 2)] })
    expect((await updatedAt()).getTime()).toBeGreaterThanOrEqual(began.getTime())
    await memory.saveMessages({ messages: [say('t', 'm1', 1)] }) // it is late, which the adapter notes in the session
    expect((await updatedAt()).getTime()).toBeGreaterThanOrEqual(began.getTime())
    await scope.sessions.update('t', { title: 'By another part of the program' })
    expect((await updatedAt()).getTime()).toBeGreaterThanOrEqual(began.getTime())
    await memory.saveThread({ thread: { id: 't', resourceId: 'ada', createdAt: at(0), updatedAt: at(7) } })
    expect(await updatedAt()).toEqual(at(7))
  })

  it('listMessages() takes a window of any size', async () => {
    await using storage = await open()
    const { memory } = await begin(storage, 't')
    await memory.saveMessages({ messages: Array.from({ length: 1200 }, (_, i) => say('t', `m${i}`, i)) })
    for (const size of [1001, Number.POSITIVE_INFINITY]) {
      const include = [{ id: 'm1150', withPreviousMessages: size, withNextMessages: 1 }]
      const { messages } = await memory.listMessages({ threadId: 't', perPage: 0, include })
      expect([messages.length, messages.at(-1)?.id]).toEqual([Math.min(size, 1150) + 2, 'm1151'])
    }
  })

  it('a window around a message has none of another resource, also in a session that no thread was saved for', async () => {
    await using storage = await open()
    const { memory } = await begin(storage)
    const of = (resourceId: string, id: string, second: number) => ({ ...say('loose', id, second), resourceId })
    await memory.saveMessages({ messages: [of('ada', 'm1', 1), of('bob', 'm2', 2), of('ada', 'm3', 3)] })
    const include = [{ id: 'm1', threadId: 'loose', withNextMessages: 1 }]
    const windowFor = async (resourceId?: string) => {
      const { messages } = await memory.listMessages({ threadId: 'other', resourceId, include })
      return messages.map(({ id }) => id)
    }
    expect([await windowFor('ada'), await windowFor('bob'), await windowFor()]).toEqual([
      ['m1', 'm3'],
      [],
      ['m1', 'm2'],
    ])
  })

  it('saveMessages() finds that an earlier call has changed the order and failed before it could say so', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 't')
    const append = scope.messages.append.bind(scope.messages)
    vi.spyOn(scope.messages, 'append').mockImplementationOnce(async (id, messages) => {
      await memory.saveMessages({ messages: [say('t', 'later', 2)] })
      return append(id, messages)
    })
    vi.spyOn(scope.sessions, 'mergeMetadata').mockRejectedValueOnce(new Error('the connection is lost'))
    const save = (id: string, second: number) => memory.saveMessages({ messages: [say('t', id, second)] })
    const earlier = [say('t', 'question', 0), say('t', 'answer', 1)]
    await expect(memory.saveMessages({ messages: earlier })).rejects.toThrow(/lost/)
    await save('new', 3)
    expect((await memory.listMessages({ threadId: 't', perPage: 2 })).messages).toEqual(earlier)
  })

  it('saveMessages() stores new and changed messages of a thread in one write', async () => {
    await using storage = await open()
    const { scope, memory } = await begin(storage, 't')
    await memory.saveMessages({ messages: [say('t', 'm1', 1)] })
    vi.spyOn(scope.messages, 'put').mockRejectedValueOnce(new Error('the connection is lost'))
    const messages = [{ ...say('t', 'm1', 1), type: 'edited' }, say('t', 'm2', 2)]
    await expect(memory.saveMessages({ messages })).rejects.toThrow(/lost/)
    expect((await memory.listMessages({ threadId: 't' })).messages).toEqual([say('t', 'm1', 1)])
    await memory.saveMessages({ messages })
    expect((await memory.listMessages({ threadId: 't' })).messages).toEqual(messages)
  })
})
