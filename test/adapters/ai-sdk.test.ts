import { randomUUID } from 'node:crypto'
import type { UIMessage } from 'ai'
import { isStorageError } from 'holdfast'
import { chatStore, fromUIMessage } from 'holdfast/ai-sdk'
import { expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'

const say = (id: string, text = id, role: UIMessage['role'] = 'user'): UIMessage => ({
  id,
  role,
  parts: [{ type: 'text', text }],
})
const answer = (id: string, text = id) => say(id, text, 'assistant')
const many = (count: number) => Array.from({ length: count }, (_, i) => say(`${i}`))
const isConflict = (error: unknown) => isStorageError(error, 'VERSION_CONFLICT')

eachDatabase((open) => {
  it('load() returns what save() was given, and nothing of a chat that does not exist', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    expect(await chats.load(`none ${chat}`)).toEqual([])
    const messages: UIMessage[] = [
      { ...say('u', 'Hello \u0000 \ud800 🗝'), metadata: { from: 'web', nested: { aiSdk: 1 } } },
      {
        id: 'a',
        role: 'assistant',
        metadata: 7,
        parts: [
          { type: 'step-start' },
          { type: 'reasoning', text: 'hm', state: 'done', providerMetadata: { p: { signature: 'x' } } },
          {
            type: 'tool-search',
            toolCallId: 'c',
            state: 'output-available',
            input: {},
            output: { at: new Date(0), bytes: new Uint8Array([0, 255]) },
          },
          { type: 'data-chart', id: 'd', data: [1, { $date: 'no date' }] },
        ],
      },
    ]
    await chats.save(chat, messages)
    expect(await chats.load(chat)).toEqual(messages)
    await chats.save(chat, messages, { base: messages })
    await chats.save(`empty ${chat}`, [])
    expect(await chats.load(chat)).toEqual(messages)
  })

  it('save() appends, changes, removes and reorders: the chat is the list', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const lists = [
      [say('1'), answer('2')],
      [say('1'), answer('2'), say('3'), answer('4')], // the next turn
      [say('1'), answer('2'), say('3'), answer('4', 'with the output of a tool')],
      [say('1'), answer('2'), say('3'), answer('5', 'regenerated')],
      [say('1', 'edited'), answer('6')],
      [say('1', 'edited'), say('0'), answer('6', 'edited as well')], // one in the middle
      [answer('6', 'edited as well'), say('1', 'edited')],
      [say('7')],
      [],
      [say('1')],
    ]
    let base: UIMessage[] = []
    for (const list of lists) {
      await chats.save(chat, list, { base })
      expect(await chats.load(chat)).toEqual(list)
      await chats.save(chat, list, { base }) // a repeat, whose outcome was lost
      expect(await chats.load(chat)).toEqual(list)
      expect((await storage.sessions.summary(chat))?.messageCount).toBe(list.length)
      base = await chats.load(chat)
    }
  })

  it('save() without base appends, changes and reorders, and refuses to remove', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    await chats.save(chat, [say('1'), answer('2')])
    await chats.save(chat, [say('1'), answer('2', 'edited'), say('3')])
    expect(await chats.load(chat)).toEqual([say('1'), answer('2', 'edited'), say('3')])
    const before = await storage.messages.latest(chat, 10)
    await expect(chats.save(chat, [say('1', 'changed'), say('4')])).rejects.toSatisfy(isConflict)
    await expect(chats.save(chat, [])).rejects.toSatisfy(isConflict)
    expect(await storage.messages.latest(chat, 10)).toEqual(before)
    await chats.save(chat, [say('0'), say('3'), say('1'), answer('2', 'edited')])
    expect((await chats.load(chat)).map(({ id }) => id)).toEqual(['0', '3', '1', '2'])
    const times = new Map((await storage.messages.latest(chat, 10)).map(({ id, createdAt }) => [id, createdAt]))
    for (const { id, createdAt } of before) expect(times.get(id)).toEqual(createdAt)
  })

  it('save() loses nothing that others have appended, changed or removed since', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const base = [say('1'), answer('2'), say('3'), answer('4')]
    const others: Record<string, () => Promise<unknown>> = {
      'appended a message': () => storage.messages.append(chat, fromUIMessage(say('5'))),
      'changed the last message': () => storage.messages.put(chat, [fromUIMessage(answer('4', 'theirs'))]),
      'removed the last message': () => storage.messages.delete(chat, ['4']),
      'regenerated the answer': () => chats.save(chat, [...base.slice(0, 3), answer('6')], { base }),
    }
    const mine: Record<string, UIMessage[]> = {
      append: [...base, say('7')],
      edit: [...base.slice(0, 3), answer('4', 'mine')],
      regenerate: [...base.slice(0, 3), answer('8')],
      remove: base.slice(0, 3),
    }
    const outcomes: Record<string, string> = {}
    for (const [they, change] of Object.entries(others)) {
      for (const [i, list] of Object.entries(mine)) {
        await chats.delete(chat)
        await chats.save(chat, base)
        await change()
        const theirs = await chats.load(chat)
        const error = await chats.save(chat, list, { base }).catch((caught) => caught)
        const now = await chats.load(chat)
        if (error === undefined) outcomes[`${they}; ${i}`] = now.map(({ id }) => id).join()
        else {
          expect(error).toSatisfy(isConflict)
          expect(now, `${they}; ${i}`).toEqual(theirs)
        }
      }
    }
    // A change of a message that this program does not touch stays, and its own message is appended.
    // A message that both have removed is as this program wants it.
    expect(outcomes).toEqual({
      'changed the last message; append': '1,2,3,4,7',
      'removed the last message; remove': '1,2,3',
    })
  })

  it('save() keeps every message of several writers at once, which a save of the whole list does not', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const writers = Array.from({ length: 8 }, (_, i) => `writer ${i}`)
    const loaded = await Promise.all(writers.map(async (id) => [...(await chats.load(`naive ${chat}`)), say(id)]))
    const naive = (messages: UIMessage[]) =>
      storage.messages.replace(`naive ${chat}`, { afterSeq: 0 }, messages.map(fromUIMessage))
    await Promise.allSettled(loaded.map(naive))
    expect((await chats.load(`naive ${chat}`)).length).toBeLessThan(writers.length)

    const protectedSave = (withBase: boolean) => async (id: string) => {
      for (;;) {
        const base = await chats.load(`${chat} ${withBase}`)
        const error = await chats
          .save(`${chat} ${withBase}`, [...base, say(id)], withBase ? { base } : {})
          .catch((caught: unknown) => caught)
        if (error === undefined) return
        expect(error).toSatisfy(isConflict)
      }
    }
    for (const withBase of [true, false]) {
      await Promise.all(writers.map(protectedSave(withBase)))
      expect((await chats.load(`${chat} ${withBase}`)).map(({ id }) => id).toSorted()).toEqual(writers)
    }
  })

  it('save() takes 2,500 messages', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const messages = many(2500)
    await chats.save(chat, messages, { base: [] })
    expect(await chats.load(chat)).toEqual(messages)
    const other = [say('x'), ...messages]
    await chats.save(chat, other)
    expect(await chats.load(chat)).toEqual(other)
    await chats.save(chat, other.slice(1200), { base: other })
    expect(await chats.load(chat)).toEqual(other.slice(1200))
  })

  it('save() stores an answer whatever a tool has returned, as the client gets it', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const price = new (class Price {
      cents = 4900
      toJSON = () => ({ euros: this.cents / 100, paid: undefined })
    })()
    const output = {
      price,
      listed: [1, undefined, Number.NaN, () => 1],
      seats: new Map([['1A', true]]),
      late: new Error(),
    }
    const call = {
      type: 'tool-timetable' as const,
      toolCallId: 'c',
      state: 'output-available' as const,
      input: {},
      output,
    }
    const messages: UIMessage[] = [say('q'), { id: 'a', role: 'assistant', metadata: { price }, parts: [call] }]
    const stored = JSON.parse(JSON.stringify(messages))
    for (const base of [[], messages, undefined]) {
      await chats.save(chat, messages, { base })
      expect(await chats.load(chat)).toEqual(stored)
    }
  })

  it('save() names a message without an id, and what cannot be stored', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const invalid = async (messages: UIMessage[]) => {
      const error: unknown = await chats.save(chat, messages).catch((caught) => caught)
      return isStorageError(error, 'INVALID_INPUT') ? error.details.problems : error
    }
    expect(await invalid([say('1'), answer('')])).toEqual([
      { path: 'messages.1.id', message: 'must not be empty: pass `generateMessageId` to the AI SDK' },
    ])
    // A program without types may pass anything.
    expect(await invalid({ id: '1' } as unknown as UIMessage[])).toMatchObject([{ path: 'messages' }])
    expect(await invalid([say('1'), null as unknown as UIMessage])).toMatchObject([{ path: 'messages.1' }])
    expect(await invalid([{ id: '1', role: 'user' } as UIMessage])).toMatchObject([{ path: 'messages.0' }])
    expect(await invalid([{ id: '1', role: 'user', parts: [{ type: 'data-x', data: 5n }] }])).toMatchObject([
      { path: 'messages.0.content.0.data' },
    ])
    const earlier = 'is the id of an earlier message'
    expect(await invalid([say('1'), say('1')])).toEqual([{ path: 'messages.1.id', message: earlier }])
    const twice = [...many(1001), ...many(1)]
    expect(await invalid(twice)).toEqual([{ path: 'messages.1001.id', message: earlier }])
    const base = many(1001)
    await chats.save('twice', base)
    const error: unknown = await chats.save('twice', twice, { base }).catch((caught) => caught)
    expect(isStorageError(error, 'INVALID_INPUT') && error.details.problems[0]?.path).toBe('messages.1001.id')
    expect(await chats.load('twice')).toEqual(base)
    expect(await chats.load(chat)).toEqual([])
  })
})
