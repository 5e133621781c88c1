import { eq } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { OwnedDb } from '../../src/database/owned-db.ts'

const database = await openDatabase({ type: 'in-memory', search: false }, { migrate: true })
const db = new OwnedDb(database, 'ada')
const { orm, tables, owner } = db
const { kv, memories, memoryTags, messages, sessions } = tables
const row = { key: 'k', value: 1, version: 1, createdAt: new Date(), updatedAt: new Date() }

const forgetful = {
  'a select': () => orm.select().from(kv).where(eq(kv.key, 'k')),
  'an update': () => orm.update(kv).set({ value: 1 }).where(eq(kv.key, 'k')),
  'a delete': () => orm.delete(kv).where(eq(kv.key, 'k')),
  'one of two tables': () =>
    orm
      .select({ id: memories.id })
      .from(memories)
      .innerJoin(memoryTags, eq(memories.id, memoryTags.memoryId))
      .where(eq(memories.ownerId, owner)),
  'a subquery': () =>
    orm
      .select({ id: sessions.id })
      .from(sessions)
      .where(eq(sessions.ownerId, orm.select({ id: messages.id }).from(messages))),
  'an owner that is only selected': () => orm.select({ owner: kv.ownerId }).from(kv),
}

test.each(Object.entries(forgetful))('a handle of an owner refuses %s that forgets the owner', async (_, query) => {
  await expect(async () => await query()).rejects.toThrow('The owner is missing for')
})

test('a handle of an owner runs queries that compare or set the owner, also in batches and transactions', async () => {
  await orm.insert(kv).values({ ownerId: owner, ...row })
  await database.orm.insert(kv).values({ ownerId: 'bob', ...row })
  await db.transaction(async (tx) => {
    expect(tx.owner).toBe('ada')
    await tx.orm.update(kv).set({ value: 2 }).where(eq(kv.ownerId, owner))
    await expect(async () => await tx.orm.delete(kv)).rejects.toThrow('The owner is missing for kv')
  })
  const all = { sql: 'delete from "kv"', params: [], writes: true }
  await expect(async () => await db.batch([all])).rejects.toThrow('The owner is missing for kv')
  const stored = await database.orm.select({ ownerId: kv.ownerId, value: kv.value }).from(kv).orderBy(kv.ownerId)
  expect(stored).toEqual([
    { ownerId: 'ada', value: 2 },
    { ownerId: 'bob', value: 1 },
  ])
})
