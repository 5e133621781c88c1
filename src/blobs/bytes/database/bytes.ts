import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import type { Db } from '../../../database/db.ts'
import { batch } from '../../../database/statement.ts'
import { isStorageError } from '../../../errors.ts'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  type CommitOptions,
  checkLocation,
  type ListOptions,
  type Location,
  type Staged,
  type StageOptions,
} from '../backend.ts'
import { storedOnce, writeSource } from '../staged.ts'
import { Spool } from './spool.ts'
import { insertPart, measureObject, removeObject, selectObjects, selectPart } from './statements.ts'

/** The size of a part. A reader holds one. */
const PART_BYTES = 256 * 1024
/** How many parts one batch stores. */
const PARTS_AT_ONCE = 4
/** How many objects one statement lists. */
const LISTED = 500

/** The steps at which a test can interrupt `DatabaseBytes`. Each is named after the parts that come next. */
export const DATABASE_STEPS = ['commit.first', 'commit.rest'] as const

export type DatabaseStep = (typeof DATABASE_STEPS)[number]

interface DatabaseBytesOptions {
  /** True if `db` is a transaction. Default false. */
  inTransaction?: boolean
  /** Runs before each step, for tests. */
  onStep?: ((step: DatabaseStep) => void | Promise<void>) | undefined
}

const savepoints = new AsyncLocalStorage<Db>()

/** Runs `work`, in which backends of transactions use this savepoint. */
export const inSavepoint = <T>(savepoint: Db, work: () => Promise<T>): Promise<T> => savepoints.run(savepoint, work)

/**
 * Stores objects in the database, in parts. In a transaction, the bytes are part of it. Outside of one, each batch of
 * parts is a commit of its own, so that a large put does not stop other writers: what a killed put leaves behind belongs
 * to a content that is not live, and goes with it.
 */
export class DatabaseBytes implements BytesBackend {
  readonly type = 'database'
  readonly #root: Db
  readonly #inTransaction: boolean
  readonly #onStep: DatabaseBytesOptions['onStep']

  /** `db` is the database of the records, or a transaction in it: a handle without an owner. */
  constructor(db: Db, { inTransaction = false, onStep }: DatabaseBytesOptions = {}) {
    this.#root = db
    this.#inTransaction = inTransaction
    this.#onStep = onStep
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    const spool = new Spool()
    const release = () => spool.close()
    const written = await writeSource(source, options, { write: (bytes) => spool.write(bytes), release })
    const { hash } = written
    const store = (generation: string, options: CommitOptions) => this.#store(spool, { hash, generation }, options)
    return { ...written, ...storedOnce(hash, { store, release }) }
  }

  async *open(location: Location, start = 0, end = location.size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const { hash, size } = location
    checkLocation(location)
    if (size > PART_BYTES || start >= end) await this.#check(location)
    for (let at = start; at < end; ) {
      const first = at - (at % PART_BYTES)
      const data = await this.#part(location, first)
      const part = data.subarray(at - first, Math.min(end - first, data.length))
      into?.set(part, at - start)
      yield into?.subarray(at - start, at - start + part.length) ?? part
      if (part.length === 0) throw blobCorrupted(hash, `cut off at ${at} of ${size} bytes`)
      at += part.length
    }
  }

  async size(location: Location): Promise<number | undefined> {
    return (await this.#measure(location))?.size
  }

  /** Reads the whole object: only its hash tells if it is sound. */
  async has(location: Location): Promise<boolean> {
    const { hash, size } = location
    return (await this.size(location)) === size && (await this.#hashOf(location)) === hash
  }

  async storedAt(location: Location): Promise<Date | undefined> {
    return (await this.#measure(location))?.storedAt
  }

  async remove({ hash, generation }: Location): Promise<boolean> {
    checkLocation({ hash, generation })
    return (await removeObject.all(this.#db, { hash, generation })).length > 0
  }

  async removeMany(locations: readonly Location[]): Promise<void> {
    for (const location of locations) checkLocation(location)
    await batch(
      this.#db,
      locations.map(({ hash, generation }) => removeObject.with({ hash, generation })),
    )
  }

  async *list({ after }: ListOptions = {}): AsyncGenerator<Location> {
    let { hash, generation } = after ?? { hash: '', generation: '' }
    for (;;) {
      const page = await selectObjects.all(this.#db, { hash, generation, limit: LISTED })
      yield* page
      const last = page.at(-1)
      if (last === undefined || page.length < LISTED) return
      ;({ hash, generation } = last)
    }
  }

  /** Removes a damaged object: a database has no other place for it, and an earlier backup has the bytes as they were. */
  async quarantine(location: Location): Promise<boolean> {
    const size = await this.size(location)
    if (size === undefined || (await this.#hashOf({ ...location, size })) === location.hash) return false
    return this.remove(location)
  }

  /** Returns 0: staged bytes are in memory, or in a file without a name. */
  async sweepStaged(): Promise<number> {
    return 0
  }

  path(location: Location): undefined {
    checkLocation(location)
  }

  async ping(): Promise<void> {
    await measureObject.all(this.#db, { hash: '', generation: '' })
  }

  /** The handle of the savepoint in which a put of the transaction runs, or else of the transaction or the database. */
  get #db(): Db {
    return (this.#inTransaction ? savepoints.getStore() : undefined) ?? this.#root
  }

  async #store(
    spool: Spool,
    { hash, generation }: Pick<Location, 'hash' | 'generation'>,
    { signal }: CommitOptions,
  ): Promise<void> {
    const storedAt = new Date()
    let start = 0
    let step: DatabaseStep = 'commit.first'
    let calls: ReturnType<typeof insertPart.with>[] = []
    const flush = async () => {
      await this.#onStep?.(step)
      signal?.throwIfAborted()
      await batch(this.#db, calls)
      step = 'commit.rest'
      calls = []
    }
    for await (const data of spool.parts(PART_BYTES)) {
      calls.push(insertPart.with({ hash, generation, start, storedAt, data }))
      start += data.length
      if (calls.length === (spool.isInMemory ? PARTS_AT_ONCE : 1)) await flush()
    }
    if (calls.length > 0) await flush()
  }

  async #measure({ hash, generation }: Pick<Location, 'hash' | 'generation'>) {
    checkLocation({ hash, generation })
    const measured = await measureObject.first(this.#db, { hash, generation })
    return measured && measured.parts > 0 ? measured : undefined
  }

  async #check(location: Location): Promise<void> {
    const { hash, size } = location
    const found = await this.size(location)
    if (found === undefined) throw blobNotFound(hash)
    if (found !== size) throw blobCorrupted(hash, `${found} bytes instead of ${size}`)
  }

  /** Returns a part of an object. A part that is not there is missing, or the whole object is gone. */
  async #part(location: Location, start: number): Promise<Uint8Array> {
    const { hash, generation, size } = location
    const part = await selectPart.first(this.#db, { hash, generation, start })
    if (part?.data.length === Math.min(PART_BYTES, size - start)) return part.data
    await this.#check(location)
    throw blobCorrupted(hash, `the part at ${start} has another length`)
  }

  /** Returns the hash of an object, or undefined if parts of it are damaged. */
  async #hashOf(location: Location): Promise<string | undefined> {
    const hash = createHash('sha256')
    try {
      for await (const chunk of this.open(location)) hash.update(chunk)
    } catch (error) {
      if (isStorageError(error, 'BLOB_CORRUPTED')) return undefined
      throw error
    }
    return hash.digest('hex')
  }
}
