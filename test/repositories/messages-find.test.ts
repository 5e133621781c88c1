import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

it.each(sharedDatabases)('find() looks into all of many sessions: %s', async (_, configure) => {
  const config = { database: await configure() } as StorageConfig
  await using storage = await openStorage(config, quiet)
  const ada = storage.scope({ ownerId: 'ada' })
  const eve = storage.scope({ ownerId: 'eve' })
  const names = Array.from({ length: 1200 }, (_, i) => `s${i}`)
  const user = (id: string, content = 'x') => ({ id, role: 'user', content })
  await Promise.all(names.map((name) => ada.messages.append(name, [user(`${name}-1`), user(`${name}-2`)])))
  await eve.messages.append('s7', user('s7-1', 'of eve'))

  // One id for each session, the most that a call takes: those of the sessions created first and last are among them.
  const ids = names.map((name) => `${name}-2`).filter((_, i) => i % 6 !== 1)
  expect((await ada.messages.find(ids)).map(({ id }) => id)).toEqual(ids)
  expect((await storage.messages.find(['s0-1', 'none', 's1199-2'])).map(({ sessionId }) => sessionId)).toEqual([
    's0',
    's1199',
  ])
  expect((await eve.messages.find(['s7-1', 's7-2'])).map(({ content }) => content)).toEqual(['of eve'])
  const inside = await ada.transaction(async (tx) => {
    await tx.messages.append('new', user('inside'))
    return tx.messages.find(['inside'])
  })
  expect(inside.map(({ sessionId }) => sessionId)).toEqual(['new'])
})
