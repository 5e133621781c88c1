import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { expect, it } from 'vitest'
import { OwnedDb } from '../../src/database/owned-db.ts'
import { NOBODY } from '../../src/database/owner.ts'
import { batch } from '../../src/database/statement.ts'
import { mentionsOfChanged, mentionsOfNew } from '../../src/repositories/messages/mentions.ts'
import { openLayer } from '../blobs/layer.ts'
import { eachStore, MAIN_RECORDS } from '../blobs/stores.ts'

eachStore(MAIN_RECORDS, (_, configure) => {
  /** Opens the layer with a blob of ada, one of bob and one of nobody, and a session id that no other test has. */
  async function open() {
    const layer = await openLayer(await configure())
    const { database } = layer
    const { sessions, messages, blobRefs, blobs } = database.tables
    const session = randomBytes(8).toString('hex')
    const now = new Date(Date.now() + 1000)
    const message = (content: string) => ({
      sessionId: session,
      id: 'm',
      role: 'user' as const,
      content,
      metadata: {},
      createdAt: now,
    })
    const put = () => randomBytes(100)
    const records = {
      ada: await layer.scoped('ada').put(put()),
      bob: await layer.scoped('bob').put(put()),
      nobody: await layer.blobs.put(put()),
    }
    return {
      ...layer,
      records,
      now,
      all: Object.values(records)
        .map(({ uri }) => uri)
        .join(' '),
      handles: { ada: new OwnedDb(database, 'ada'), bob: new OwnedDb(database, 'bob'), root: database },
      message,
      /** Makes the session, with its message, for an owner. */
      async converse(ownerId: string, content = '') {
        const times = { createdAt: now, updatedAt: now, lastActiveAt: now }
        const counters = { version: 1, lastSeq: 1, messageCount: 1 }
        await database.orm.insert(sessions).values({ id: session, ownerId, metadata: {}, ...counters, ...times })
        await database.orm.insert(messages).values({ ...message(content), ownerId, seq: 1 })
      },
      /** Lists the mentions of the session: each owner with the blob. */
      async mentions() {
        const rows = await database.orm.select().from(blobRefs).where(eq(blobRefs.sessionId, session))
        return rows.map(({ ownerId, blobId }) => `${ownerId} ${blobId}`).sort()
      },
      async isTouched(id: string) {
        const [row] = await database.orm.select().from(blobs).where(eq(blobs.id, id))
        return row?.lastUsedAt.getTime() === now.getTime()
      },
    }
  }

  it('a message of a scope mentions and touches the blobs of its owner only', async () => {
    const { blobs, scoped, records, handles, message, all, now, ...layer } = await open()
    for (const owner of ['ada', 'bob', NOBODY]) await layer.converse(owner, all)
    await batch(handles.ada, mentionsOfNew([message(all)], now))
    expect(await layer.mentions()).toEqual([`ada ${records.ada.id}`])
    expect(await Promise.all(Object.values(records).map(({ id }) => layer.isTouched(id)))).toEqual([true, false, false])
    await expect(scoped('ada').delete(records.ada.id)).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
    await expect(blobs.delete(records.ada.id)).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
    expect(await scoped('bob').delete(records.ada.id), 'a blob in use of another owner is absent').toBe(false)
    expect(await scoped('bob').delete(records.bob.id)).toBe(true)
    await layer.close()
  })

  it('a message that the root writes mentions any blob, for the owner of the session', async () => {
    const { scoped, records, handles, message, all, now, ...layer } = await open()
    await layer.converse('ada', all)
    await batch(handles.root, mentionsOfNew([message(all)], now))
    const expected = Object.values(records).map(({ id }) => `ada ${id}`)
    expect(await layer.mentions()).toEqual(expected.sort())
    await expect(scoped('bob').delete(records.bob.id)).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
    expect(await scoped('bob').delete(records.bob.id, { force: true })).toBe(true)
    expect(await layer.erase('ada', 1000)).toBeGreaterThan(0)
    expect(await layer.mentions()).toEqual([`ada ${records.nobody.id}`])
    await layer.close()
  })

  it('a message that the root writes is that of nobody before that of an owner, and none if two owners have it', async () => {
    const { records, handles, message, now, ...layer } = await open()
    const { uri, id } = records.ada
    for (const owner of ['ada', 'bob']) await layer.converse(owner, uri)
    await batch(handles.root, mentionsOfNew([message(uri)], now))
    expect(await layer.mentions()).toEqual([])
    await layer.converse(NOBODY, uri)
    await batch(handles.root, mentionsOfNew([message(uri)], now))
    expect(await layer.mentions()).toEqual([`${NOBODY} ${id}`])
    await layer.close()
  })

  it('a changed message loses its own stale mentions, not those of an equal id in another scope', async () => {
    const { records, handles, message, now, ...layer } = await open()
    const { ada, bob } = records
    await layer.converse('ada', 'changed')
    await layer.converse('bob', bob.uri)
    await batch(handles.ada, mentionsOfNew([message(ada.uri)], now))
    await batch(handles.bob, mentionsOfNew([message(bob.uri)], now))
    expect(await layer.mentions()).toEqual([`ada ${ada.id}`, `bob ${bob.id}`])
    await batch(handles.bob, mentionsOfChanged(message(''), [bob.uri], now))
    expect(await layer.mentions()).toEqual([`ada ${ada.id}`, `bob ${bob.id}`])
    await batch(handles.ada, mentionsOfChanged(message(''), ['changed'], now))
    expect(await layer.mentions()).toEqual([`bob ${bob.id}`])
    await layer.close()
  })
})
