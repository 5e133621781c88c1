import { isStorageError, openStorage, type StorageScope } from 'holdfast'
import { expect, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const message = (id: string) => ({ id, role: 'user', content: id })

/** Calls that count in one statement what they remove in another one. */
const calls: Record<string, (scope: StorageScope) => Promise<unknown>> = {
  'messages.pop': ({ messages }) => messages.pop('s'),
  'messages.truncate': ({ messages }) => messages.truncate('s', { afterSeq: 1 }),
  'messages.delete': ({ messages }) => messages.delete('s', ['a', 'b']),
  'messages.replace': ({ messages }) => messages.replace('s', { afterSeq: 1 }, []),
  'queues.takeAll': ({ queues }) => queues.takeAll('s', 'q'),
  'queues.remove': ({ queues }) => queues.remove('s', 'q', 'a'),
  'queues.clear': ({ queues }) => queues.clear('s', 'q'),
}

test.each(Object.entries(calls))(
  '%s leaves the counters right if the session is created and deleted meanwhile',
  async (_, call) => {
    const config = { database: { type: 'postgres', url: await freshPostgres() } } as const
    await using storage = await openStorage(config, quiet)
    await using other = await openStorage(config, quiet)
    const [mine, theirs] = [storage, other].map((each) => each.scope({ ownerId: 'ada' })) as [
      StorageScope,
      StorageScope,
    ]
    let goesOn = true
    const changing = (async () => {
      while (goesOn) {
        await theirs.messages.append('s', ['a', 'b', 'c'].map(message))
        for (const id of ['a', 'b']) await theirs.queues.push('s', 'q', { id })
        if ((await other.diagnose()).some(({ result }) => result === 'fail')) return
        await theirs.sessions.delete('s')
      }
    })()
    const working = async () => {
      for (let i = 0; i < rounds(800, 20_000); i++) {
        await call(mine).catch((error) => {
          if (!isStorageError(error, 'NOT_FOUND')) throw error
        })
      }
    }
    try {
      await Promise.all([working(), working(), working()])
    } finally {
      goesOn = false
      await changing
    }
    expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
  },
)
