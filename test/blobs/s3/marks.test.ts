import { join } from 'node:path'
import { openStorage } from 'holdfast'
import type { S3ServerOptions } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { freshDirectory } from '../../setup/databases.ts'
import { quiet } from '../../setup/silent.ts'
import { serve } from './fixture.ts'

type Fault = NonNullable<S3ServerOptions['fault']>

const REFUSED = { before: { status: 412, code: 'PreconditionFailed' } } as const

/** Starts a server that chooses faults of puts with a condition alone. Returns what opens a storage of a new database. */
async function marked(fault: (attempt: number) => ReturnType<Fault>) {
  let attempts = 0
  const server = await serve({
    fault: ({ headers }) => (headers['if-none-match'] === undefined ? undefined : fault(++attempts)),
  })
  const path = join(freshDirectory(), 'a.db')
  const open = () => openStorage({ database: { type: 'sqlite', path }, blobStore: server.config }, quiet)
  return { server, open, close: server.close, attempts: () => attempts, [Symbol.asyncDispose]: server.close }
}

describe('openStorage(), when the first mark of a bucket is refused with 412,', () => {
  it('opens the store if the mark is its own, of which the answer was lost', async () => {
    await using marks = await marked((attempt) => (attempt === 1 ? { after: 'reset' } : undefined))
    await (await marks.open()).close()
    expect(marks.attempts()).toBe(2)
    await (await marks.open()).close()
    expect([...marks.server.objects.keys()]).toEqual(['store-id'])
  })

  it('fails with BLOB_STORE_MISMATCH if another database was faster, and leaves the mark of that database', async () => {
    const other = Buffer.from('a-store\na-database\n')
    await using marks = await marked(() => {
      marks.server.objects.set('store-id', { bytes: other, storedAt: new Date() })
      return undefined
    })
    await expect(marks.open()).rejects.toMatchObject({
      code: 'BLOB_STORE_MISMATCH',
      retryable: false,
      message: expect.stringContaining('was given to another database at this moment'),
    })
    expect(marks.server.objects.get('store-id')?.bytes).toEqual(other)
  })

  it('tries again if there is no mark', async () => {
    await using marks = await marked((attempt) => (attempt === 1 ? REFUSED : undefined))
    await (await marks.open()).close()
    expect(marks.attempts()).toBe(2)
    expect([...marks.server.objects.keys()]).toEqual(['store-id'])
    await (await marks.open()).close()
  })

  it('fails with CONNECTION_FAILED, which is retryable, if there is no mark each time, and leaves no claim', async () => {
    let isRefused = true
    await using marks = await marked(() => (isRefused ? REFUSED : undefined))
    await expect(marks.open()).rejects.toMatchObject({ code: 'CONNECTION_FAILED', retryable: true })
    expect(marks.server.objects.size).toBe(0)
    isRefused = false
    await (await marks.open()).close()
  })
})

it('a process that was killed while it gave a bucket its first mark keeps others off for a minute, as the error says', async () => {
  const server = await serve()
  const path = join(freshDirectory(), 'a.db')
  const open = () => openStorage({ database: { type: 'sqlite', path }, blobStore: server.config }, quiet)
  const claim = (ageMillis: number) => ({ bytes: Buffer.of(), storedAt: new Date(Date.now() - ageMillis) })
  server.objects.set('store-id.claims/killed', claim(10_000))
  await expect(open()).rejects.toMatchObject({
    code: 'TIMEOUT',
    retryable: true,
    message: expect.stringMatching(/or was killed while it did: try again in a minute$/),
  })
  server.objects.set('store-id.claims/killed', claim(61_000))
  await (await open()).close()
  expect([...server.objects.keys()]).toEqual(['store-id'])
  await server.close()
})
