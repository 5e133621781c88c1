import { randomBytes } from 'node:crypto'
import type { Storage } from 'holdfast'
import { expect, it } from 'vitest'
import { eachStore, MAIN_RECORDS, SEPARATE_RECORDS, SHARED } from './stores.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const put = (storage: Pick<Storage, 'blobs'>) => storage.blobs.put(randomBytes(100))
const image = (uri: string) => [{ type: 'image', image: { url: uri } }]

eachStore(MAIN_RECORDS, (open) => {
  const inUse = async (storage: Storage, id: string) => {
    const error = await storage.blobs.delete(id).catch((thrown) => thrown)
    if (error === true) return false
    expect(error).toMatchObject({ name: 'StorageError', code: 'BLOB_IN_USE' })
    return true
  }

  it('append() keeps the blobs that content and metadata mention, until the message is removed', async () => {
    await using storage = await open()
    const [text, part, metadata, unmentioned] = await Promise.all(Array.from({ length: 4 }, () => put(storage)))
    if (!text || !part || !metadata || !unmentioned) throw new Error('unreachable')
    await storage.messages.append('kept', [
      { id: 'a', role: 'user', content: `see ${text.uri}, twice: ${text.uri}` },
      { id: 'b', role: 'user', content: image(part.uri), metadata: { thumbnails: [metadata.uri] } },
      { id: 'c', role: 'user', content: `no such blob:${'0'.repeat(32)}, and ${unmentioned.id} is no mention` },
    ])
    for (const { id } of [text, part, metadata]) expect(await inUse(storage, id)).toBe(true)
    expect(await inUse(storage, unmentioned.id)).toBe(false)

    expect((await storage.messages.pop('kept'))?.id).toBe('c')
    await storage.messages.truncate('kept', { afterSeq: 1 })
    for (const { id } of [part, metadata]) expect(await inUse(storage, id)).toBe(false)
    expect(await inUse(storage, text.id)).toBe(true)
    await storage.sessions.delete('kept')
    expect(await inUse(storage, text.id)).toBe(false)
    expect((await storage.blobs.verify()).ok).toBe(true)
  })

  it('append() changes no mention when it repeats an id with other content', async () => {
    await using storage = await open()
    const [first, second] = [await put(storage), await put(storage)]
    await storage.messages.append('repeated', { id: 'm', role: 'user', content: first.uri })
    await storage.messages.append('repeated', { id: 'm', role: 'user', content: second.uri })
    expect(await inUse(storage, first.id)).toBe(true)
    expect(await inUse(storage, second.id)).toBe(false)
  })

  it('update() replaces the mentions of the changed field', async () => {
    await using storage = await open()
    const [content, metadata, replaced] = [await put(storage), await put(storage), await put(storage)]
    await storage.messages.append('updated', { id: 'm', role: 'user', content: image(replaced.uri) })
    await storage.messages.update('updated', 'm', { metadata: { cover: metadata.uri } })
    for (const { id } of [metadata, replaced]) expect(await inUse(storage, id)).toBe(true)
    const updated = await storage.messages.update('updated', 'm', { content: content.uri })
    expect(updated).toMatchObject({ content: content.uri, metadata: { cover: metadata.uri } })
    expect(await inUse(storage, replaced.id)).toBe(false)
    await storage.messages.update('updated', 'm', { role: 'assistant' })
    for (const { id } of [content, metadata]) expect(await inUse(storage, id)).toBe(true)
    await storage.messages.update('updated', 'm', { content: null, metadata: {} })
    for (const { id } of [content, metadata]) expect(await inUse(storage, id)).toBe(false)
    const missing = storage.messages.update('updated', 'none', { content: 'x' })
    await expect(missing).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('fork() keeps the blobs that its copies mention', async () => {
    await using storage = await open()
    const blob = await put(storage)
    await storage.messages.append('original', { role: 'user', content: blob.uri })
    const fork = await storage.sessions.fork('original')
    await storage.sessions.delete('original')
    expect(await inUse(storage, blob.id)).toBe(true)
    await storage.sessions.delete(fork.id)
    expect(await inUse(storage, blob.id)).toBe(false)
  })

  it('transaction() commits a blob, a message and its mentions together, or none of them', async () => {
    await using storage = await open()
    const blob = await put(storage)
    const undone = storage.transaction(async (tx) => {
      const { uri } = await put(tx)
      await tx.messages.append('undone', { role: 'user', content: `${blob.uri} ${uri}` })
      throw new Error(uri)
    })
    const uri = await undone.catch((error: Error) => error.message)
    expect(await storage.blobs.exists(String(uri))).toBe(false)
    expect(await inUse(storage, blob.id)).toBe(false)
    const together = await storage.transaction(async (tx) => {
      const record = await put(tx)
      await tx.messages.append('together', { role: 'user', content: record.uri })
      return record
    })
    expect(await inUse(storage, together.id)).toBe(true)
    await storage.sessions.delete('together')
  })

  it('delete() with force removes a mentioned blob and its mentions, but not the message', async () => {
    await using storage = await open()
    const blob = await put(storage)
    await storage.messages.append('forced', { id: 'm', role: 'user', content: blob.uri })
    expect(await storage.blobs.delete(blob.uri, { force: true })).toBe(true)
    expect(await storage.messages.get('forced', 'm')).toMatchObject({ content: blob.uri })
    await expect(storage.blobs.bytes(blob.uri)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await storage.sessions.delete('forced')
  })

  it('maintain() on four instances removes unused blobs after cleanupAfterDays, but no mentioned blob', async () => {
    let now = Date.now()
    const opened = await open({ now: () => new Date(now) })
    const { type } = opened.config.database
    // A database in memory has one instance, and no cleanupAfterDays.
    const more = type === 'in-memory' ? [] : [1, 2, 3].map(() => open({ now: () => new Date(now) }))
    const storages = [opened, ...(await Promise.all(more))]
    const [mentioned, unused, read] = [await put(opened), await put(opened), await put(opened)]
    await opened.messages.append('mentioning', { role: 'user', content: mentioned.uri })
    now += 29 * DAY
    await opened.blobs.text(read.id)
    now += 2 * DAY
    if (type === 'in-memory') await opened.blobs.cleanup({ olderThan: new Date(now - 30 * DAY) })
    const reports = await Promise.all(storages.map((storage) => storage.maintain()))
    expect(reports.flat().filter(({ error }) => error)).toEqual([])
    expect(await opened.blobs.exists(unused.id)).toBe(false)
    for (const { id } of [mentioned, read]) expect(await opened.blobs.exists(id)).toBe(true)
    now += 10_000 * DAY
    await Promise.all(storages.map((storage) => storage.maintain()))
    expect((await opened.blobs.bytes(mentioned.id)).length).toBe(100)
    await opened.sessions.delete('mentioning')
    await Promise.all(storages.map((storage) => storage.close()))
  })

  it('append() and delete() at once leave the blob mentioned, or removed and unmentioned', async () => {
    await using storage = await open()
    for (let round = 0; round < 30; round++) {
      const blob = await put(storage)
      const session = `race ${round}`
      const [, deleted] = await Promise.all([
        storage.messages.append(session, { role: 'user', content: blob.uri }),
        storage.blobs.delete(blob.id).catch((error) => {
          expect(error).toMatchObject({ code: 'BLOB_IN_USE' })
          return false
        }),
      ])
      expect(await storage.blobs.exists(blob.id)).toBe(!deleted)
      if (!deleted) expect(await inUse(storage, blob.id)).toBe(true)
      await storage.sessions.delete(session)
    }
    expect((await storage.blobs.verify()).ok).toBe(true)
  })

  it('append() does not deadlock when appends mention the same blobs in another order', async () => {
    await using storage = await open()
    const blobs = await Promise.all(Array.from({ length: 8 }, () => put(storage)))
    const uris = blobs.map(({ uri }) => uri)
    const append = (i: number) => {
      const order = i % 2 ? uris : uris.toReversed()
      return storage.messages.append(
        `crosswise ${i}`,
        order.map((content) => ({ role: 'user', content })),
      )
    }
    await Promise.all(Array.from({ length: 40 }, (_, i) => append(i)))
  })
})

eachStore(SEPARATE_RECORDS, (open) => {
  it('delete() removes a mentioned blob when its record is not in the main database', async () => {
    await using storage = await open()
    const blob = await put(storage)
    await storage.messages.append('apart', { role: 'user', content: blob.uri })
    expect(await storage.blobs.delete(blob.id)).toBe(true)
  })
})

eachStore(SHARED, (open) => {
  it('maintain() keeps a blob that is read every hour when cleanupAfterDays is 1, and no longer', async () => {
    let now = Date.now()
    const options = { now: () => new Date(now), blobStore: { cleanupAfterDays: 1 } }
    await using storage = await open(options)
    const { id } = await put(storage)
    for (let hour = 0; hour < 80; hour++) {
      now += HOUR - 1
      await storage.blobs.bytes(id)
      await storage.maintain()
      expect(await storage.blobs.exists(id)).toBe(true)
    }
    now += DAY
    await storage.maintain()
    expect(await storage.blobs.exists(id)).toBe(true)
    now += 2 * HOUR
    await storage.maintain()
    expect(await storage.blobs.exists(id)).toBe(false)
  })
})
