import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsClient } from 'aws4fetch'
import { type BytesBackend, type Location, openStorage } from 'holdfast'
import { blobsContract, bytesContract } from 'holdfast/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Transport, transportOf } from '../../../src/blobs/bytes/s3/exchange.ts'
import { openS3 } from '../../../src/blobs/bytes/s3/open.ts'
import { freshDirectory } from '../../setup/databases.ts'
import { rounds } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'
import { type OtherServer, otherS3Server } from '../../setup/swift.ts'
import { list, put } from '../fixture.ts'
import { contentionTests } from './contention.ts'
import { resolved } from './fixture.ts'
import { killTests } from './kills.ts'

// On a server that is not ours: OpenStack Swift, or the bucket of TEST_S3_URL.

const run = randomUUID()
const stores: { close(): Promise<void> }[] = []
let server: OtherServer
let transport: Transport

beforeAll(async () => {
  server = await otherS3Server()
  transport = await transportOf(resolved(server.config).endpoint)
})

afterAll(async () => {
  for (const { close } of stores) await close()
  await server?.stop()
})

function open(settings: object = {}) {
  const prefix = `${run}/${stores.length}`
  const opened = openS3(resolved({ ...server.config, prefix, ...settings }), transport)
  stores.push({ close: () => opened.bytes.close() })
  return { ...opened, prefix }
}

describe('s3 bytes on another server', () => {
  const prefixes = new Map<BytesBackend, string>()
  const openBytes = async () => {
    const { bytes, prefix } = open()
    prefixes.set(bytes, prefix)
    return bytes
  }
  const damage = async (bytes: BytesBackend, { hash, generation }: Location, data: Uint8Array) => {
    const { accessKeyId = '', secretAccessKey = '', region = '', endpoint, bucket } = server.config
    const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3' })
    const url = `${endpoint}/${bucket}/${prefixes.get(bytes)}/objects/${hash.slice(0, 2)}/${hash}.${generation}`
    const body = Uint8Array.from(data)
    const headers = { 'x-amz-content-sha256': createHash('sha256').update(body).digest('hex') }
    const answer = await client.fetch(url, { method: 'PUT', body, headers })
    expect([answer.status, await answer.text()]).toEqual([200, ''])
  }
  for (const { name, run } of bytesContract(openBytes, { damage })) it(name, run)

  it('url() is accepted, forces a download, and expires', async () => {
    const { bytes } = open()
    const content = Buffer.from('for a browser')
    const location = await put(bytes, content)
    const options = { disposition: 'attachment; filename="a b.txt"', mimeType: 'text/plain' }
    const url = await bytes.url(location, { ...options, expiresSeconds: 60 })
    const answer = await fetch(url)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-disposition')).toBe(options.disposition)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/)
    expect(await answer.text()).toBe('for a browser')

    expect((await fetch(url.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).status).toBe(403)
    const brief = await bytes.url(location, { ...options, expiresSeconds: 1 })
    await sleep(2100)
    expect((await fetch(brief)).status).toBe(403)
  })

  it('create() gives a store one mark when 6 programs open it at once', async () => {
    const prefix = `${run}/shared`
    const all = Array.from({ length: 6 }, (_, i) => ({ store: `store-${i}`, database: `database-${i}` }))
    const marks = await Promise.all(all.map((mark) => open({ prefix }).marks.create(mark)))
    for (const mark of marks) expect(mark).toEqual(marks[0])
    expect(await open({ prefix }).marks.read()).toEqual(marks[0])
  })

  it('quarantine() moves a damaged object away', async () => {
    const { bytes } = open()
    const sound = await put(bytes, randomBytes(1000))
    const other = await put(bytes, randomBytes(1000))
    expect(await bytes.quarantine(sound)).toBe(false)
    expect(await bytes.size(other)).toBe(1000)
  })

  it('names what is wrong with keys, a region or a bucket', async () => {
    const failing = (settings: object) => open({ ...settings, options: { maxAttempts: 1 } }).bytes.ping()
    const code = 'CONNECTION_FAILED'
    await expect(failing({ secretAccessKey: 'wrong' })).rejects.toMatchObject({ code, retryable: false })
    await expect(failing({ accessKeyId: 'test:nobody' })).rejects.toMatchObject({ code, retryable: false })
    await expect(failing({ bucket: `no-such-${run}` })).rejects.toMatchObject({ code, retryable: false })
  })
})

describe('blobs in a bucket of another server', () => {
  const paths = new Map<string, string>()
  /** Returns a store in a folder, with a database of its own: each time the same. */
  const configure = (folder: string, limits: object = {}) => {
    const path = paths.get(folder) ?? join(freshDirectory(), 'a.db')
    paths.set(folder, path)
    const blobStore = { ...server.config, prefix: `${run}/${folder}`, ...limits }
    return { database: { type: 'sqlite' as const, path }, blobStore }
  }
  const countObjects = async (folder: string) => (await list(open({ prefix: `${run}/${folder}` }).bytes)).length

  const cases = blobsContract((options) => openStorage(configure('contract'), { ...quiet, ...options }))
  // A search of the texts of a database asks no bucket.
  const ofDatabase = cases.filter(({ name }) => name.startsWith('blobs.cleanup() keeps a blob that'))
  const isLeftOut = new Set(ofDatabase.filter((_, i) => i % rounds(20, 1) > 0))
  for (const each of cases) if (!isLeftOut.has(each)) it(each.name, each.run)

  killTests(
    [
      ['put', 'put.insert'],
      ['delete', 'remove.delete'],
      ['cleanup', 'collect.commit'],
    ],
    rounds(1, 50),
    { configure: () => configure('kills'), countObjects: () => countObjects('kills') },
  )

  contentionTests({
    configure: async (folder, maxTotalSize) => configure(folder, { maxTotalSize }),
    countObjects,
    rounds: rounds(4, 500),
  })
})
