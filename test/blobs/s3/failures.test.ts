import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { S3BlobStoreConfig, StorageError } from 'holdfast'
import type { S3Fault, S3ServerRequest } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { freePort } from '../../setup/server-process.ts'
import { collect, list, NO_LIMIT, put, source } from '../fixture.ts'
import { serve } from './fixture.ts'

const quick = { requestTimeoutMillis: 300, maxAttempts: 8 }
const once = { ...quick, maxAttempts: 1 }

/** Returns a choice of faults that fails the first request of an operation. */
function first(operation: string, fault: S3Fault) {
  let left = 1
  return (request: S3ServerRequest) => (request.operation === operation && left-- > 0 ? fault : undefined)
}

const PASSING: [name: string, operation: string, fault: S3Fault][] = [
  ['a 503 of a put', 'PutObject', { before: { status: 503, code: 'SlowDown' } }],
  ['a 500 of a put that was done', 'PutObject', { after: { status: 500, code: 'InternalError' } }],
  ['a 409 of a put', 'PutObject', { before: { status: 409, code: 'OperationAborted' } }],
  ['a 429 of a put', 'PutObject', { before: { status: 429, code: 'TooManyRequests' } }],
  ['a 408 of a put', 'PutObject', { before: { status: 400, code: 'RequestTimeout' } }],
  ['a body that was damaged on its way', 'PutObject', { before: { status: 400, code: 'XAmzContentSHA256Mismatch' } }],
  ['a connection that ends before a put', 'PutObject', { before: 'reset' }],
  ['a connection that ends after a put', 'PutObject', { after: 'reset' }],
  ['no answer to a put', 'PutObject', { before: 'stall' }],
  ['no answer to a put that was done', 'PutObject', { after: 'stall' }],
  ['a 502 of a read', 'GetObject', { before: { status: 502, code: 'BadGateway' } }],
  ['a read that is cut at once', 'GetObject', { cutAt: 0 }],
  ['a read that is cut', 'GetObject', { cutAt: 150_000 }],
  ['a read that stalls', 'GetObject', { stallAt: 150_000 }],
  ['a listing that is cut', 'ListObjectsV2', { cutAt: 200 }],
  ['a listing that stalls', 'ListObjectsV2', { stallAt: 200 }],
  ['a delete that is done twice', 'DeleteObject', { againAfterMillis: 0, after: 'reset' }],
  ['a 500 of a HEAD', 'HeadObject', { before: { status: 500, code: '' } }],
]

/** Stores, reads, lists and removes an object of 300 KB. */
async function useStore({ bytes }: ReturnType<Awaited<ReturnType<typeof serve>>['open']>) {
  const data = randomBytes(300_000)
  const location = await put(bytes, data)
  expect((await collect(bytes.open(location))).equals(data)).toBe(true)
  expect((await collect(bytes.open(location, 100_000, 200_000))).equals(data.subarray(100_000, 200_000))).toBe(true)
  expect(await list(bytes)).toEqual([location])
  expect(await bytes.remove(location)).toBe(true)
  expect(await list(bytes)).toEqual([])
}

describe('a passing failure', () => {
  for (const [name, operation, fault] of PASSING) {
    it(`is made up for: ${name}`, async () => {
      await using server = await serve({ fault: first(operation, fault) })
      await useStore(server.open({ options: quick }))
    })

    it(`fails with a retryable error if nothing is repeated: ${name}`, async () => {
      await using server = await serve({ fault: first(operation, fault) })
      const error = await useStore(server.open({ options: once })).catch((error: unknown) => error)
      expect(error).toMatchObject({ name: 'StorageError', retryable: true })
      expect((error as StorageError).code).toMatch(/^(CONNECTION_FAILED|TIMEOUT)$/) // the line before has checked it
    })
  }

  it('goes on where a read was cut, however often', async () => {
    const data = randomBytes(5_000_000)
    await using server = await serve({
      fault: ({ operation }) => (operation === 'GetObject' ? { cutAt: 600_000 } : undefined),
    })
    const { bytes } = server.open({ options: { ...quick, maxAttempts: 3 } })
    const location = await put(bytes, data)
    expect((await collect(bytes.open(location))).equals(data)).toBe(true)
    expect(server.counts.GetObject).toBeLessThan(12)
  })
})

const REFUSED: [name: string, refusal: { status: number; code: string }, expected: object][] = [
  [
    'access denied',
    { status: 403, code: 'AccessDenied' },
    {
      code: 'PRIVILEGE_MISSING',
      details: { object: 'bucket holdfast', privileges: ['s3:PutObject'], httpStatus: 403 },
    },
  ],
  [
    'no bucket',
    { status: 404, code: 'NoSuchBucket' },
    { code: 'CONNECTION_FAILED', message: /holdfast does not exist/ },
  ],
  ['other region', { status: 301, code: 'PermanentRedirect' }, { code: 'CONNECTION_FAILED', message: /us-east-1/ }],
  ['a wrong key', { status: 403, code: 'InvalidAccessKeyId' }, { code: 'CONNECTION_FAILED', message: /access key/ }],
  ['a quota', { status: 403, code: 'QuotaExceeded' }, { code: 'DISK_FULL' }],
  ['a full disk', { status: 507, code: 'XMinioStorageFull' }, { code: 'DISK_FULL' }],
  ['a condition that was not set', { status: 412, code: 'PreconditionFailed' }, { code: 'DATABASE_FAILED' }],
  ['anything else', { status: 400, code: 'InvalidRequest' }, { code: 'DATABASE_FAILED' }],
]

describe('a refusal', () => {
  for (const [name, refusal, { message = /./, ...expected }] of REFUSED as [
    string,
    S3Fault['before'],
    { message?: RegExp },
  ][]) {
    it(`is not repeated: ${name}`, async () => {
      await using server = await serve({ fault: first('PutObject', { before: refusal }) })
      const error: unknown = await put(server.open().bytes, Buffer.from('x')).catch((error) => error)
      expect(error).toMatchObject({ ...expected, retryable: false, message: expect.stringMatching(message) })
      expect(server.counts.PutObject).toBe(1)
      expect(inspect(error, { depth: 9 })).not.toContain(server.config.secretAccessKey)
      expect(JSON.stringify(error)).not.toContain(server.config.secretAccessKey)
    })
  }

  it('size() does not take a missing bucket for a missing object', async () => {
    await using server = await serve()
    const location = { hash: '0'.repeat(64), size: 1, generation: '' }
    expect(await server.open().bytes.size(location)).toBeUndefined()
    await expect(server.open({ bucket: 'elsewhere' }).bytes.size(location)).rejects.toMatchObject({
      message: expect.stringMatching(/elsewhere does not exist/),
    })
  })
})

it('a server that cannot be reached fails with CONNECTION_FAILED, which is retryable', async () => {
  await using server = await serve()
  const { bytes } = server.open({ endpoint: `http://127.0.0.1:${await freePort()}`, options: { maxAttempts: 2 } })
  await expect(bytes.ping()).rejects.toMatchObject({
    code: 'CONNECTION_FAILED',
    retryable: true,
    details: { errno: 'ECONNREFUSED', bucket: 'holdfast' },
  })
})

it('a server that answers nothing fails with TIMEOUT within the limits', async () => {
  await using server = await serve({ fault: () => ({ before: 'stall' }) })
  const begun = performance.now()
  await expect(
    server.open({ options: { requestTimeoutMillis: 200, maxAttempts: 20 } }).bytes.ping(),
  ).rejects.toMatchObject({
    code: 'TIMEOUT',
    retryable: true,
  })
  // No attempt begins after twice the limit of one.
  expect(performance.now() - begun).toBeLessThan(5000)
})

it('a wrong clock is corrected once', async () => {
  await using server = await serve({ now: () => new Date(Date.now() + 3_600_000) })
  const { bytes } = server.open({ options: once })
  await put(bytes, Buffer.from('x'))
  expect(server.counts.PutObject).toBe(2)
  await put(bytes, Buffer.from('y'))
  expect(server.counts.PutObject).toBe(3)
  await using other = await serve({ now: () => new Date(Date.now() + 3_600_000) })
  // A HEAD is refused without a reason.
  expect(
    await other.open({ options: once }).bytes.size({ hash: '0'.repeat(64), size: 1, generation: '' }),
  ).toBeUndefined()
  await using never = await serve({ fault: () => ({ before: { status: 403, code: 'RequestTimeTooSkewed' } }) })
  await expect(never.open().bytes.ping()).rejects.toMatchObject({ message: expect.stringMatching(/NTP/) })
  expect(never.counts.ListObjectsV2).toBe(2)
})

it.each([
  ['ahead of', -600_000],
  ['behind', 600_000],
])('url() counts from the time of the server if the clock of this machine is ten minutes %s it', async (_, millis) => {
  const now = () => new Date(Date.now() + millis)
  await using server = await serve({ now })
  const { bytes } = server.open()
  const location = await put(bytes, Buffer.from('x'))
  const url = await bytes.url(location, { expiresSeconds: 60, disposition: 'inline', mimeType: 'text/plain' })
  expect(await (await fetch(url)).text()).toBe('x')
  const date = String(new URL(url).searchParams.get('X-Amz-Date'))
  const signedAt = Date.parse(date.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:'))
  expect(Math.abs(signedAt - now().getTime())).toBeLessThan(10_000)
})

describe('credentials()', () => {
  it('is asked once for calls that wait together, and again before the keys expire', async () => {
    await using server = await serve()
    const { accessKeyId, secretAccessKey, ...config } = server.config
    let asked = 0
    const open = (millis: number) =>
      server.open({
        ...config,
        accessKeyId: undefined,
        secretAccessKey: undefined,
        credentials: async () => {
          asked += 1
          return { accessKeyId, secretAccessKey, expiration: new Date(Date.now() + millis) }
        },
      } as S3BlobStoreConfig) // the fields that are undefined replace those of the server
    const lasting = open(3_600_000).bytes
    await Promise.all(Array.from({ length: 5 }, () => lasting.ping()))
    await lasting.ping()
    expect(asked).toBe(1)
    const brief = open(30_000).bytes
    await brief.ping()
    await brief.ping()
    expect(asked).toBe(3)
  })

  it.each([
    ['ahead of', -7_200_000, 3_600_000, 1],
    ['behind', 7_200_000, 30_000, 6],
  ])('is asked by the time of the server if the clock of this machine is %s it', async (_, offset, millis, times) => {
    const now = () => Date.now() + offset
    await using server = await serve({ now: () => new Date(now()) })
    const { accessKeyId, secretAccessKey } = server.config
    let asked = 0
    const credentials = () => {
      asked += 1
      return { accessKeyId, secretAccessKey, expiration: new Date(now() + millis) }
    }
    const { bytes } = server.open({ accessKeyId: undefined, secretAccessKey: undefined, credentials })
    for (let i = 0; i < 5; i++) await bytes.ping()
    expect(asked).toBe(times) // the first request of a skewed clock is sent twice
  })

  it('is asked again when the server says that the keys have expired', async () => {
    await using server = await serve({
      fault: first('ListObjectsV2', { before: { status: 400, code: 'ExpiredToken' } }),
    })
    const { accessKeyId, secretAccessKey } = server.config
    let asked = 0
    const credentials = () => {
      asked += 1
      return { accessKeyId, secretAccessKey }
    }
    const keys = { accessKeyId: undefined, secretAccessKey: undefined, credentials }
    await server.open({ ...keys, options: once }).bytes.ping()
    expect(asked).toBe(2)
    const failing = () => {
      throw new Error('no role')
    }
    await expect(server.open({ ...keys, credentials: failing }).bytes.ping()).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: true,
      cause: { message: 'no role' },
    })
  })
})

it('a request waits for its turn, and not for ever', async () => {
  let stalled = true
  await using server = await serve({ fault: () => (stalled ? { before: 'stall' } : undefined) })
  const settings = {
    maxConnections: 2,
    connectionTimeoutMillis: 100,
    options: { requestTimeoutMillis: 500, maxAttempts: 1 },
  }
  const { bytes } = server.open(settings)
  const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => bytes.ping()))
  const messages = outcomes.map((outcome) => outcome.status === 'rejected' && String(outcome.reason.message))
  expect(messages.filter((message) => /no connection within 100 ms/.test(String(message)))).toHaveLength(2)
  stalled = false
  await Promise.all(Array.from({ length: 8 }, () => bytes.ping()))
})

it('close() ends what is under way with CLOSED', async () => {
  await using server = await serve({ fault: () => ({ before: 'stall' }) })
  const { bytes } = server.open()
  const ping = bytes.ping()
  ping.catch(() => {}) // it is awaited below
  await expect.poll(() => server.counts.ListObjectsV2).toBe(1)
  await bytes.close()
  await expect(ping).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(bytes.ping()).rejects.toMatchObject({ code: 'CLOSED' })
})

it('the bucket may be in the host of a URL', async () => {
  await using server = await serve()
  const endpoint = server.endpoint.replace('127.0.0.1', 'localhost')
  const store = server.open({ endpoint, forcePathStyle: false })
  await useStore(store)
  const location = await put(store.bytes, Buffer.from('x'))
  const url = await store.bytes.url(location, { expiresSeconds: 9, disposition: 'attachment', mimeType: 'text/plain' })
  expect(new URL(url).hostname).toBe('holdfast.localhost')
})

it('list() reads every page, and goes on behind a place', async () => {
  await using server = await serve({ pageSize: 7 })
  const { bytes } = server.open({ prefix: 'deep/er' })
  const stored = []
  for (let i = 0; i < 40; i++) stored.push(await put(bytes, Buffer.from(`object ${i}`)))
  server.objects.set('deep/er/objects/zz/of somebody else', { bytes: Buffer.of(1), storedAt: new Date() })
  const listed = await list(bytes)
  expect(listed).toHaveLength(40)
  const behind = []
  for await (const location of bytes.list({ after: listed[19] })) behind.push(location)
  expect(behind).toEqual(listed.slice(20))
  await bytes.removeMany(stored)
  expect(await list(bytes)).toEqual([])
})

it('an aborted upload leaves nothing', async () => {
  await using server = await serve()
  const { bytes } = server.open()
  const stop = new AbortController()
  async function* endless() {
    for (let i = 0; ; i++) {
      if (i === 20) stop.abort(new Error('enough'))
      yield randomBytes(10_000)
    }
  }
  await expect(bytes.stage(endless(), { ...NO_LIMIT, signal: stop.signal })).rejects.toThrow('enough')
  const staged = await bytes.stage(source(randomBytes(10)), NO_LIMIT)
  await staged.discard()
  expect(server.objects.size).toBe(0)
  expect(server.counts).toEqual({})
})

it('quarantine() moves an object with other bytes, and a removed object cannot come back', async () => {
  await using server = await serve()
  const { bytes } = server.open({ prefix: 'store' })
  const location = await put(bytes, Buffer.from('sound'))
  const [key = ''] = server.objects.keys()
  server.objects.set(key, { bytes: Buffer.from('rotten'), storedAt: new Date() })
  expect(await bytes.quarantine(location)).toBe(true)
  expect(await bytes.size(location)).toBeUndefined()
  expect([...server.objects.keys()]).toEqual([expect.stringMatching(/^store\/quarantine\/[0-9a-f]{64}/)])
})
