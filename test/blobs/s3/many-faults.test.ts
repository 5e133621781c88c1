import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { isStorageError, openStorage } from 'holdfast'
import type { S3Fault, S3ServerRequest } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { freshDirectory } from '../../setup/databases.ts'
import { rounds, soak } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'
import { sha256 } from '../fixture.ts'
import { serve } from './fixture.ts'

const OPERATIONS = rounds(500, 10_000)
const AT_ONCE = 16
const SHARE_OF_FAULTS = 0.05
/** How long a stalled answer is waited for: as by default, in `npm test` less. */
const STALL_MILLIS = rounds(1000, 30_000)
/** Far more than the bounds of one call allow, also behind 15 others and on a busy machine. */
const LONGEST_CALL_MILLIS = 60_000 + 8 * STALL_MILLIS

const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(Math.random() * items.length)]

const SKEW: S3Fault = { before: { status: 403, code: 'RequestTimeTooSkewed' } }
const ANY: S3Fault[] = [
  { before: { status: 503, code: 'SlowDown' } },
  { after: { status: 500, code: 'InternalError' } },
  { before: { status: 409, code: 'OperationAborted' } },
  SKEW,
  { before: 'reset' },
  { after: 'reset' },
  { before: 'stall' },
  { after: 'stall' },
  { cutAt: 50 },
  { stallAt: 50 },
  { delayMillis: 60 },
]
/**
 * Requests that arrive again, when others have used the same content meanwhile. A put comes again right away: its client
 * waits.
 */
const LATE: Record<string, S3Fault[]> = {
  DeleteObject: [{ againAfterMillis: 0 }, { againAfterMillis: 100 }, { after: 'reset', againAfterMillis: 400 }],
}
const OF_CONDITIONS: S3Fault[] = [{ before: { status: 412, code: 'PreconditionFailed' } }]

function faultOf({ operation, headers }: S3ServerRequest): S3Fault | undefined {
  if (Math.random() >= SHARE_OF_FAULTS) return undefined
  const late = LATE[operation]
  if (late && Math.random() < 0.5) return pick(late)
  return pick(headers['if-none-match'] === undefined ? ANY : [...ANY, ...OF_CONDITIONS])
}

it(
  `${OPERATIONS} operations with ${SHARE_OF_FAULTS * 100}% of faults lose nothing and store nothing twice`,
  async () => {
    let faulty = false
    let faults = 0
    let requests = 0
    let skewedAt = 0
    await using server = await serve({
      fault(request) {
        requests += 1
        const fault = faulty ? faultOf(request) : undefined
        // A clock that is wrong again in the same call is an error that stays.
        if (fault === SKEW && requests - skewedAt < 100) return undefined
        if (fault === SKEW) skewedAt = requests
        if (fault !== undefined) faults += 1
        return fault
      },
    })
    const database = { type: 'sqlite', path: join(freshDirectory(), 'agent.db') } as const
    // Few attempts, so that some calls fail in most runs: what they leave must do no harm.
    const options = { requestTimeoutMillis: STALL_MILLIS, maxAttempts: 2 }
    const storage = await openStorage({ database, blobStore: { ...server.config, options } }, quiet)
    const { blobs } = storage
    /** The blobs that certainly exist, and those of which a failed call has left it open. */
    const live = new Map<string, string>()
    const doubtful = new Set<string>()
    const contents = Array.from({ length: 40 }, (_, i) => randomBytes(i * 1500))
    let longest = 0
    let failed = 0

    const read = async (id: string) => {
      const bytes = Math.random() < 0.5 ? await blobs.bytes(id) : await buffer(await blobs.stream(id))
      expect(sha256(bytes)).toBe(live.get(id) ?? sha256(bytes))
    }
    const operate = async () => {
      const known = pick([...live.keys()])
      const chance = Math.random()
      if (known === undefined || chance < 0.4) {
        const data = Math.random() < 0.5 ? randomBytes(2000) : (pick(contents) ?? Buffer.of())
        const { id } = await blobs.put(data)
        live.set(id, sha256(data))
      } else if (chance < 0.75) await read(known)
      else {
        live.delete(known)
        doubtful.add(known)
        await blobs.delete(known)
        doubtful.delete(known)
        expect(await blobs.exists(known)).toBe(false)
      }
    }
    const worker = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const begun = performance.now()
        await operate().catch((error: unknown) => {
          // A blob that another worker has deleted meanwhile is not found, which is right.
          if (isStorageError(error, 'BLOB_NOT_FOUND')) return
          if (!isStorageError(error)) throw error
          failed += 1
          expect(error).toMatchObject({ retryable: true, code: expect.stringMatching(/^(CONNECTION_FAILED|TIMEOUT)$/) })
        })
        longest = Math.max(longest, performance.now() - begun)
      }
    }
    faulty = true
    await Promise.all(Array.from({ length: AT_ONCE }, () => worker(Math.ceil(OPERATIONS / AT_ONCE))))
    faulty = false
    if (soak) console.log({ operations: OPERATIONS, faults, failed, longest: Math.round(longest) })
    expect(longest).toBeLessThan(LONGEST_CALL_MILLIS)
    expect(faults).toBeGreaterThan(OPERATIONS / 50)

    await storage.close()
    const tomorrow = () => new Date(Date.now() + 2 * 86_400_000)
    await using later = await openStorage({ database, blobStore: server.config }, { ...quiet, now: tomorrow })
    for (const [id, hash] of live) expect(sha256(await later.blobs.bytes(id))).toBe(hash)
    for (const id of doubtful) if (await later.blobs.exists(id)) await later.blobs.delete(id)
    const { steps } = await later.blobs.verify({ repair: true })
    expect(steps.filter(({ found }) => found > 0).map(({ step }) => step)).not.toContain('missing')
    expect(await later.blobs.verify()).toMatchObject({ ok: true })
    expect(await later.blobs.stats()).toMatchObject({ count: live.size, contents: new Set(live.values()).size })
    const objects = [...server.objects.keys()].filter((key) => key.startsWith('objects/'))
    expect(objects).toHaveLength(new Set(live.values()).size)
    for (const [id, hash] of live) expect(sha256(await later.blobs.bytes(id))).toBe(hash)
  },
  rounds(120_000, 3_600_000),
)
