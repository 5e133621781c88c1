import { isStorageError, openStorage, type Storage } from 'holdfast'
import { expect, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const message = (id: string) => ({ id, role: 'user', content: id })

/** Calls of several statements about one session, each of which could find another owner's session. */
const calls: Record<string, (storage: Storage, name: string) => Promise<unknown>> = {
  'queues.push, take and ack': async ({ queues }, name) => {
    await queues.push('s', 'q', { id: name })
    const taken = await queues.take('s', 'q', { leaseSeconds: 5 })
    await queues.ack(taken.map(({ receipt }) => receipt))
  },
  'messages.truncate': ({ messages }) => messages.truncate('s', { afterSeq: 1 }),
  'messages.pop': ({ messages }) => messages.pop('s'),
  'messages.delete': ({ messages }) => messages.delete('s', ['a', 'b']),
  'messages.put': ({ messages }, name) => messages.put('s', [message(name), message('a')]),
  'messages.replace': ({ messages }, name) => messages.replace('s', { afterSeq: 1 }, [message(name)]),
}

/** What a call answers if the session is gone, or another owner's by then. */
const REFUSALS = ['NOT_FOUND', 'ALREADY_EXISTS'] as const
const refused = (error: unknown) => {
  if (!REFUSALS.some((code) => isStorageError(error, code))) throw error
}

test.each(Object.entries(calls))(
  'the storage itself works on one session in %s, while sessions of this id are made for owners, given away and deleted',
  async (_, call) => {
    const config = { database: { type: 'postgres', url: await freshPostgres() } } as const
    await using storage = await openStorage(config, quiet)
    await using other = await openStorage(config, quiet)
    const [ada, bob] = [other.scope({ ownerId: 'ada' }), other.scope({ ownerId: 'bob' })]
    let goesOn = true
    const changing = (async () => {
      for (let i = 0; goesOn; i++) {
        await ada.messages.append('s', ['a', 'b', 'c'].map(message)).catch(refused)
        await other.sessions.update('s', { ownerId: 'bob' }).catch(refused)
        await bob.messages.append('s', message('a')).catch(refused)
        await (i % 2 ? ada : bob).sessions.delete('s')
      }
    })()
    const working = async (name: number) => {
      for (let i = 0; i < rounds(80, 5000); i++) {
        await call(storage, `${name} ${i}`).catch(refused)
        if (i % 15 === 0) expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
      }
    }
    try {
      await Promise.all([working(1), working(2), working(3)])
    } finally {
      goesOn = false
      await changing
    }
  },
)
