import { type BytesBackend, type Location, openStorage, type Storage, StorageError } from 'holdfast'
import { type Fault, withFaults } from 'holdfast/testing'
import { expect, onTestFinished, test } from 'vitest'
import { MapBytes } from '../own-bytes.ts'
import { quiet } from '../setup/silent.ts'

const lost = new StorageError('CONNECTION_LOST', 'The connection was lost', { retryable: true })

/** Opens a storage, and a view of it with faults by the names of calls. */
async function open(faults: Record<string, Fault>): Promise<{ storage: Storage; faulty: Storage }> {
  const storage = await openStorage()
  onTestFinished(() => storage.close())
  return { storage, faulty: withFaults(storage, ({ name }) => faults[name]) }
}

test('withFaults() fails a call before or after it is done', async () => {
  const { storage, faulty } = await open({ 'kv.set': { before: lost }, 'messages.append': { after: lost } })
  await expect(faulty.kv.set('k', 1)).rejects.toBe(lost)
  expect(await storage.kv.get('k')).toBeUndefined()
  await expect(faulty.messages.append('s', { role: 'user', content: 'a' })).rejects.toBe(lost)
  expect(await faulty.messages.latest('s', 10)).toMatchObject([{ content: 'a' }])
})

test('withFaults() shows that a repeated append() with an id stores one message', async () => {
  const { storage, faulty } = await open({ 'messages.append': { after: lost } })
  const message = { role: 'user', content: 'once' }
  for (let i = 0; i < 2; i++) {
    await faulty.messages.append('with', { id: 'm', ...message }).catch(() => {})
    await faulty.messages.append('without', message).catch(() => {})
  }
  expect(await storage.messages.latest('with', 10)).toHaveLength(1)
  expect(await storage.messages.latest('without', 10)).toHaveLength(2)
})

test('withFaults() fails a call of a transaction, which rolls back, or the transaction after its commit', async () => {
  const { storage, faulty } = await open({ 'transaction.kv.set': { before: lost } })
  const both = (tx: Pick<Storage, 'kv' | 'lists'>) => tx.lists.append('l', 1).then(() => tx.kv.set('k', 1))
  await expect(faulty.transaction(both)).rejects.toBe(lost)
  expect(await storage.lists.length('l')).toBe(0)
  const unknown = withFaults(storage, ({ name }) => (name === 'transaction' ? { after: lost } : undefined))
  await expect(unknown.transaction(both)).rejects.toBe(lost)
  expect(await storage.lists.length('l')).toBe(1)
})

test('withFaults() fails calls of a scope by the same names', async () => {
  const { storage, faulty } = await open({ 'kv.set': { before: lost }, 'transaction.kv.set': { before: lost } })
  const ada = faulty.scope({ ownerId: 'ada' })
  await expect(ada.kv.set('k', 1)).rejects.toBe(lost)
  await expect(ada.transaction((tx) => tx.kv.set('k', 1))).rejects.toBe(lost)
  expect(await storage.scope({ ownerId: 'ada' }).kv.get('k')).toBeUndefined()
})

test('withFaults() of a repository fails its calls, whatever a bytes backend calls so', async () => {
  const { storage } = await open({})
  await storage.sessions.create({ id: 's' })
  const sessions = withFaults(storage.sessions, ({ name }) => (name === 'get' ? { before: lost } : undefined))
  expect((await sessions.list()).items).toMatchObject([{ id: 's' }])
  await expect(sessions.get('s')).rejects.toBe(lost)
  const { id } = await storage.blobs.put(Buffer.from('x'))
  const blobs = withFaults(storage.blobs, ({ name }) => (name === 'path' ? { after: lost } : undefined))
  expect((await blobs.list()).items).toMatchObject([{ id }])
  await expect(blobs.path(id)).rejects.toBe(lost)
})

test('withFaults() delays calls, fails iterators, and passes the arguments to choose()', async () => {
  const { storage } = await open({})
  const seen: unknown[] = []
  const faulty = withFaults(storage, ({ name, args }) => {
    seen.push([name, ...args])
    return name === 'messages.iterate' ? { before: lost } : { delayMillis: 30 }
  })
  const begun = performance.now()
  await faulty.kv.set('k', 1)
  expect(performance.now() - begun).toBeGreaterThan(25)
  await expect(faulty.messages.iterate('s').next()).rejects.toBe(lost)
  expect(seen).toEqual([
    ['kv.set', 'k', 1],
    ['messages.iterate', 's'],
  ])
})

test('withFaults() takes a view as well: iterators stay iterators, and both choose', async () => {
  const { storage, faulty } = await open({ 'kv.set': { before: lost } })
  const view = withFaults(faulty, ({ name }) => (name === 'messages.iterate' ? { after: lost } : undefined))
  await storage.messages.append('s', { role: 'user', content: 'a' })
  await expect(view.kv.set('k', 1)).rejects.toBe(lost)
  const seen: unknown[] = []
  const reading = async () => {
    for await (const { content } of view.messages.iterate('s')) seen.push(content)
  }
  await expect(reading()).rejects.toBe(lost)
  expect(seen).toEqual(['a'])
})

test('withFaults() fails each call of a bytes backend, whatever kind of function it is', async () => {
  const bytes = new MapBytes()
  const list = bytes.list.bind(bytes)
  bytes.list = (options) => list(options) // no generator function
  let faults: Record<string, Fault> = {}
  const faulty = withFaults<BytesBackend>(bytes, ({ name }) => faults[name])
  const stage = () => faulty.stage(new Blob(['a']).stream(), { maxBytes: 10 })
  const generation = '0123456789abcdef'

  faults = { 'stage.commit': { after: lost } }
  const staged = await stage()
  await expect(staged.commit(generation)).rejects.toBe(lost)
  expect(bytes.objects.size).toBe(1)
  await staged.discard()

  faults = { list: { after: lost }, path: { before: lost }, stage: { before: lost } }
  const locations: Location[] = []
  const listing = async () => {
    for await (const location of faulty.list()) locations.push(location)
  }
  await expect(listing()).rejects.toBe(lost)
  expect(locations).toEqual([{ hash: staged.hash, size: 1, generation }])
  expect(() => faulty.path({ hash: staged.hash, size: 1, generation })).toThrow(lost)
  await expect(stage()).rejects.toBe(lost)

  await using storage = await openStorage({}, { bytes: faulty, ...quiet })
  faults = { 'stage.commit': { before: lost } }
  await expect(storage.blobs.put(Buffer.from('b'))).rejects.toBe(lost)
  faults = {}
  expect(await storage.blobs.text((await storage.blobs.put(Buffer.from('b'))).id)).toBe('b')
})

test.each([Number.POSITIVE_INFINITY, Number.NaN, -1])('withFaults() refuses a delay of %s', async (delayMillis) => {
  const { faulty } = await open({ 'kv.get': { delayMillis } })
  await expect(faulty.kv.get('k')).rejects.toThrow(`delayMillis of a fault is ${delayMillis}: it must be from 0 to`)
})

test('withFaults() leaves calls without a fault unchanged', async () => {
  const { storage, faulty } = await open({})
  expect(faulty.config).toEqual(storage.config)
  const { id } = await faulty.blobs.put(new Uint8Array([1, 2]))
  expect(await faulty.blobs.bytes(id)).toEqual(await storage.blobs.bytes(id))
  for await (const _ of faulty.messages.iterate('s')) throw new Error('There are no messages')
  expect((await faulty.health()).ok).toBe(true)
  await faulty[Symbol.asyncDispose]()
  await expect(storage.kv.get('k')).rejects.toMatchObject({ code: 'CLOSED' })
})
