import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const DAY_MILLIS = 86_400_000

it.each(sharedDatabases)(
  'countByDay() counts long and many sessions, and stops when the time is over: %s',
  async (_, configure) => {
    const config = { database: await configure() } as StorageConfig
    await using storage = await openStorage(config, quiet)
    const now = Date.now()
    const createdAt = (i: number) => new Date(now - (i % 7) * DAY_MILLIS)
    for (let from = 0; from < 9000; from += 1000) {
      const some = Array.from({ length: 1000 }, (_, i) => ({
        role: 'user',
        content: 'x',
        createdAt: createdAt(from + i),
      }))
      await storage.messages.append('long', some)
    }
    const ada = storage.scope({ ownerId: 'ada' })
    await Promise.all(
      Array.from({ length: 700 }, (_, i) =>
        ada.messages.append(`s${i}`, { role: 'user', content: 'x', createdAt: createdAt(i) }),
      ),
    )
    const ofDay = (count: number) => Array.from({ length: 7 }, (_, i) => Math.ceil((count - (6 - i)) / 7))
    const all = await storage.messages.countByDay({ days: 7, timeoutMillis: 60_000 })
    expect(all.complete).toBe(true)
    expect(all.days.map(({ messages }) => messages)).toEqual(ofDay(9000).map((n, i) => n + (ofDay(700)[i] ?? 0)))
    const own = await ada.messages.countByDay({ days: 7, timeoutMillis: 60_000 })
    expect(own.days.map(({ messages }) => messages)).toEqual(ofDay(700))
    const cut = await storage.messages.countByDay({ days: 7, timeoutMillis: 1 })
    const counted = cut.days.reduce((sum, { messages }) => sum + messages, 0)
    expect({ ...cut, days: counted < 9700 }).toEqual({
      days: true,
      complete: false,
      missingThrough: all.days.at(-1)?.day,
    })
  },
)

it.each(sharedDatabases)(
  'countByDay() counts sessions that become active while it reads other pages: %s',
  async (_, configure) => {
    const config = { database: await configure() } as StorageConfig
    await using storage = await openStorage(config, quiet)
    const message = { role: 'user', content: 'x' }
    const yesterday = new Date(Date.now() - DAY_MILLIS)
    const ids = Array.from({ length: 1600 }, (_, i) => `s${i}`)
    const appendAll = (some: string[]) =>
      Promise.all(some.map((id) => storage.messages.append(id, { ...message, createdAt: yesterday })))
    const [quietest, others] = [ids.slice(0, 30), ids.slice(30)]
    await appendAll(quietest)
    await appendAll(others)
    const counting = storage.messages.countByDay({ days: 2, timeoutMillis: 60_000 })
    for (const id of quietest) await storage.messages.append(id, message)
    const { complete, days } = await counting
    expect({ complete, yesterday: days[0]?.messages }).toEqual({ complete: true, yesterday: ids.length })
  },
)
