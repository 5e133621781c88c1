import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../../errors.ts'
import { markText, parseMark, type StoreMark, type StoreMarks } from '../store-id.ts'
import { type Bucket, bodyFrom } from './bucket.ts'

/** A claim of this age was left behind by a process that was killed. */
const STALE_MILLIS = 60_000
const ROUNDS = 30
const LONGEST_PAUSE_MILLIS = 400
/** How often the server may say that there is a mark, and then have none. */
const CONTRADICTIONS = 3

/**
 * The mark of a store in a bucket, as the object `<prefix>store-id`.
 *
 * Not every server can store an object only if there is none. So whoever gives a store its first mark claims it before:
 * stores an object of its own in `<prefix>store-id.claims/`, and then lists them. Of two that claim at once, at least one sees
 * the other, since both store before they list. Who sees another claim withdraws and begins again. Who sees none looks for a
 * mark once more, and then sets it.
 */
export class S3Marks implements StoreMarks {
  readonly place: string
  readonly setting = 'blobStore.bucket and prefix'
  readonly #bucket: Bucket
  readonly #key: string

  constructor(objects: Bucket, { bucket, prefix }: { bucket: string; prefix: string }) {
    this.place = `s3://${bucket}/${prefix}`
    this.#bucket = objects
    this.#key = `${prefix}store-id`
  }

  async read(): Promise<StoreMark | undefined> {
    return parseMark(await this.#bucket.text(this.#key), this.place)
  }

  async create(mark: StoreMark): Promise<StoreMark> {
    let contradictions = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      const found = await this.read()
      if (found) return found
      const claim = `${this.#key}.claims/${randomUUID()}`
      await this.#bucket.put(claim, bodyFrom(Buffer.of()))
      try {
        if ((await this.#isAlone(claim)) && (await this.read()) === undefined) {
          const isStored = await this.#bucket.putNew(this.#key, bodyOf(mark))
          const now = await this.read()
          if (isStored || now) return now ?? mark
          // A mark that nobody will find again would separate the store from its database.
          contradictions += 1
          if (contradictions === CONTRADICTIONS) throw noMark(this.place)
        }
      } finally {
        await this.#bucket.delete(claim)
      }
      await sleep(Math.random() * LONGEST_PAUSE_MILLIS)
    }
    const message = `Another program opens the blob store ${this.place} for the first time at this moment, or was killed while it did: try again in a minute`
    throw new StorageError('TIMEOUT', message, { retryable: true })
  }

  async replace(mark: StoreMark): Promise<void> {
    await this.#bucket.put(this.#key, bodyOf(mark))
  }

  /** Returns true if nobody else claims the store. Removes what killed processes have left. */
  async #isAlone(claim: string): Promise<boolean> {
    const claims: { key: string; storedAt: Date }[] = []
    for await (const found of this.#bucket.list(`${this.#key}.claims/`)) claims.push(found)
    const own = claims.find(({ key }) => key === claim)
    if (!own) return false // the listing is late: it may lack the claims of others as well
    const isStale = ({ storedAt }: { storedAt: Date }) => own.storedAt.getTime() - storedAt.getTime() > STALE_MILLIS
    for (const { key } of claims.filter(isStale)) await this.#bucket.delete(key)
    return claims.filter((found) => !isStale(found)).length === 1
  }
}

function noMark(place: string): StorageError {
  const message = `The object store refuses to give the blob store ${place} its mark store-id, as if there were one, and has none: try again`
  return new StorageError('CONNECTION_FAILED', message, { retryable: true })
}

const bodyOf = (mark: StoreMark) => bodyFrom(Buffer.from(markText(mark)))
