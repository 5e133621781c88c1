import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { openStorage, type S3BlobStoreConfig, type StorageOptions } from 'holdfast'
import { expect, it, vi } from 'vitest'
import { freshDirectory } from '../../setup/databases.ts'
import { quiet } from '../../setup/silent.ts'
import { serve } from './fixture.ts'

type Server = Awaited<ReturnType<typeof serve>>

/** Returns what opens a storage on one of several databases. */
function databases(server: Server) {
  const directory = freshDirectory()
  return (name = 'a.db', settings: Partial<S3BlobStoreConfig> = {}, options: StorageOptions = {}) =>
    openStorage(
      {
        database: { type: 'sqlite', path: join(directory, name) },
        blobStore: { ...server.config, prefix: 'agents', ...settings },
      },
      { ...quiet, ...options },
    )
}

const mismatch = (what: RegExp) => ({ code: 'BLOB_STORE_MISMATCH', message: expect.stringMatching(what) })

/** Returns how many requests of each operation a call has sent. */
async function requestsOf(server: Server, call: () => Promise<unknown>) {
  const before = { ...server.counts }
  await call()
  const entries = Object.entries(server.counts).map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
  return Object.fromEntries(entries.filter(([, count]) => count > 0))
}

it('each call sends the requests that docs/blobs.md lists', async () => {
  await using server = await serve()
  await using storage = await databases(server)()
  const { blobs } = storage
  const data = randomBytes(200_000)
  let uri = ''
  expect(
    await requestsOf(server, async () => {
      uri = (await blobs.put(data)).uri
    }),
  ).toEqual({ PutObject: 1 })
  const again = async () => {
    const { id } = await blobs.put(data)
    await blobs.delete(id) // the other record still needs the bytes
  }
  expect(await requestsOf(server, again)).toEqual({ HeadObject: 1 })
  for (const read of ['bytes', 'base64'] as const) {
    expect(await requestsOf(server, () => blobs[read](uri))).toEqual({ GetObject: 1 })
  }
  const stream = async () => expect((await buffer(await blobs.stream(uri))).equals(data)).toBe(true)
  expect(await requestsOf(server, stream)).toEqual({ HeadObject: 1, GetObject: 1 })
  const free = () => Promise.all([blobs.get(uri), blobs.list(), blobs.stats(), blobs.exists(uri), blobs.url(uri)])
  expect(await requestsOf(server, free)).toEqual({})
  expect(await blobs.path(uri)).toBeUndefined()
  expect(await requestsOf(server, () => blobs.verify())).toEqual({ GetObject: 1, HeadObject: 1, ListObjectsV2: 1 })
  expect(await requestsOf(server, () => blobs.delete(uri))).toEqual({ HeadObject: 1, DeleteObject: 1 })
  expect([...server.objects.keys()]).toEqual(['agents/store-id'])
})

it('url() gives a browser the blob under its name, until it expires', async () => {
  let ahead = 0
  await using server = await serve({ now: () => new Date(Date.now() + ahead) })
  await using storage = await databases(server)()
  const { uri } = await storage.blobs.put(Buffer.from('<script>'), { name: 'a "b"/ü.html', mimeType: 'text/html' })
  const url = (await storage.blobs.url(uri, { expiresSeconds: 60 })) ?? ''
  const answer = await fetch(url)
  expect(await answer.text()).toBe('<script>')
  expect(answer.headers.get('content-type')).toBe('text/html')
  expect(answer.headers.get('content-disposition')).toBe(
    `attachment; filename="a _b___.html"; filename*=UTF-8''a%20%22b%22%2F%C3%BC.html`,
  )
  const inline = await fetch((await storage.blobs.url(uri, { disposition: 'inline' })) ?? '')
  expect(inline.headers.get('content-disposition')).toMatch(/^inline;/)
  ahead = 61_000
  expect((await fetch(url)).status).toBe(403)
  await expect(storage.blobs.url(uri, { expiresSeconds: 604_801 })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  await expect(storage.blobs.url(`blob:${'0'.repeat(32)}`)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
  await using inMemory = await openStorage()
  const { id } = await inMemory.blobs.put(Buffer.from('x'))
  expect(await inMemory.blobs.url(id)).toBeUndefined()
})

it('two databases cannot share a bucket and a prefix', async () => {
  await using server = await serve({ conditionalPuts: false })
  const open = databases(server)
  const one = await open()
  const { uri } = await one.blobs.put(Buffer.from('of a.db'))
  await expect(open('b.db')).rejects.toMatchObject({
    ...mismatch(/s3:\/\/holdfast\/agents\/ belongs to another database.*blobStore.bucket and prefix/),
    details: { storePath: 's3://holdfast/agents/' },
  })
  await expect(open('a.db', { prefix: 'elsewhere' })).rejects.toMatchObject(mismatch(/does not hold the 1 blobs/))
  await (await open('b.db', { prefix: 'other' })).close()
  await one.close()
  await using adopted = await open('b.db', {}, { adoptBlobStore: true })
  await expect(open('a.db')).rejects.toMatchObject(mismatch(/was taken over by another database/))
  await expect(adopted.blobs.bytes(uri)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
})

for (const conditionalPuts of [true, false]) {
  const server = conditionalPuts ? 'a server with conditional puts' : 'a server without them'
  it(`one of several new databases gets a new store when they open it at once, on ${server}`, async () => {
    await using server = await serve({ conditionalPuts })
    const open = databases(server)
    const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd', 'a', 'b'].map((name) => open(`${name}.db`)))
    const opened = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const files = new Set(opened.map(({ config }) => config.database.type === 'sqlite' && config.database.file))
    expect(files.size).toBe(1)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(mismatch(/another database/))
    }
    await Promise.all(opened.map((storage) => storage.close()))
    expect([...server.objects.keys()]).toEqual(['agents/store-id'])
  })
}

it('the keys may be in the environment, and are in no configuration, error or text', async () => {
  await using server = await serve({ secretAccessKey: 'geheim', sessionToken: 'geheim' })
  const open = databases(server)
  const unset = { accessKeyId: undefined, secretAccessKey: undefined, sessionToken: undefined }
  const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']
  try {
    for (const name of names) vi.stubEnv(name, undefined)
    await expect(open('a.db', unset)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      details: { problems: [{ path: 'blobStore.accessKeyId' }] },
    })
    for (const [i, name] of names.entries()) vi.stubEnv(name, i === 0 ? 'test-key' : 'geheim')
    await (await open('a.db', unset)).close()
  } finally {
    vi.unstubAllEnvs()
  }
  await using storage = await open()
  await storage.blobs.put(Buffer.from('x'))
  expect(JSON.stringify(storage.config)).not.toContain('geheim')
  expect(JSON.stringify(await storage.diagnose())).not.toContain('geheim')
  expect(await storage.health()).toMatchObject({ ok: true, blobStore: { type: 's3', ok: true } })
})

it('health() and diagnose() say that the bucket does not answer', async () => {
  let isDown = false
  await using server = await serve({
    fault: () => (isDown ? { before: { status: 503, code: 'SlowDown' } } : undefined),
  })
  await using storage = await databases(server)('a.db', { options: { maxAttempts: 1 } })
  isDown = true
  expect(await storage.health()).toMatchObject({ ok: false, blobStore: { ok: false } })
  const findings = await storage.diagnose()
  expect(findings.find(({ check }) => check === 'blob-store')).toMatchObject({
    message: expect.stringMatching(/s3 does not answer.*503 SlowDown/),
  })
  isDown = false
})

it('16 uploads at once are stored, each whole', async () => {
  await using server = await serve()
  await using storage = await databases(server)()
  const all = Array.from({ length: 16 }, () => randomBytes(1_000_000))
  const records = await Promise.all(all.map((data) => storage.blobs.put(data)))
  for (const [i, { uri }] of records.entries()) {
    expect((await storage.blobs.bytes(uri)).equals(all[i] ?? Buffer.of())).toBe(true)
  }
})
