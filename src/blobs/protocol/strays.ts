import { inArray } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, rowsStatement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { isResting, LONGEST_REST_MILLIS } from '../../maintenance/lease.ts'
import { type Location, objectName } from '../bytes/backend.ts'
import { Removals } from '../bytes/removals.ts'
import { collectStray } from './collect.ts'
import type { BlobStore } from './store.ts'
import { STALE_MILLIS } from './verify-steps.ts'

/** How many objects one round looks at. */
const OBJECTS_A_ROUND = 5000
const SLICE_SIZE = 512
/** More strays than these, and than a tenth of the objects of a round, are not what killed processes leave behind. */
const FEW_STRAYS = 100

const selectContents = rowsStatement(({ orm, tables: { blobContent: c } }, rows: { hash: string }[]) =>
  orm
    .select({ hash: c.hash, generation: c.generation })
    .from(c)
    .where(
      inArray(
        c.hash,
        rows.map(({ hash }) => hash),
      ),
    ),
)

/**
 * Makes a step that removes strays: bytes without a row, which a process leaves behind if it is killed in a transaction
 * that has put them. Each call continues the walk over the store, without reading any bytes. Returns the number removed.
 *
 * A look at the rows alone proves nothing: the row of a running transaction is not visible yet, and a put may store the
 * same content right after the look. `collectStray` looks again, under the usage lock.
 *
 * The step fails with INVALID_STATE, and removes nothing of the round, if many objects have no row: the database may be an
 * older backup, and a newer one be restored later.
 */
export function straySweep(db: Db, store: BlobStore): () => Promise<number> {
  /** The object behind which the walk goes on. Undefined if the next walk has not begun. */
  let after: Location | undefined
  let nextWalk = 0
  return async () => {
    const now = store.now().getTime()
    if (store.bytes.storedAt === undefined || (after === undefined && isResting(now, nextWalk))) return 0
    const strays: Location[] = []
    let looked = 0
    for await (const slice of slicesOf(store.bytes.list({ after }))) {
      looked += slice.length
      strays.push(...(await oldWithoutRow(db, store, slice)))
      after = slice.at(-1)
      if (looked >= OBJECTS_A_ROUND) break
    }
    if (looked < OBJECTS_A_ROUND) {
      after = undefined
      nextWalk = now + LONGEST_REST_MILLIS
    }
    if (areMany(strays.length, looked)) throw manyStrays(strays.length, looked)
    let removed = 0
    const removals = new Removals()
    for (const stray of strays) if (await removals.try(() => collectStray(db, store, stray))) removed += 1
    removals.end()
    return removed
  }
}

/** Returns true if so many of the objects have no row that the database may be an older backup. */
export function areMany(strays: number, looked: number): boolean {
  return strays > Math.max(FEW_STRAYS, looked / 10)
}

function manyStrays(strays: number, looked: number): StorageError {
  const message = `Of ${looked} objects in the blob store, ${strays} have no record: the database may be an older backup. Nothing was removed. If they are not needed, verify({ repair: true }) removes them`
  return new StorageError('INVALID_STATE', message)
}

async function isOld({ bytes, now }: BlobStore, location: Location): Promise<boolean> {
  const storedAt = await bytes.storedAt?.(location)
  return storedAt !== undefined && storedAt.getTime() < now().getTime() - STALE_MILLIS
}

async function* slicesOf(locations: AsyncIterable<Location>): AsyncGenerator<Location[]> {
  let slice: Location[] = []
  for await (const location of locations) {
    slice.push(location)
    if (slice.length < SLICE_SIZE) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}

/** Returns the objects that no content has and that are older than any put may take. */
async function oldWithoutRow(db: Db, store: BlobStore, locations: Location[]): Promise<Location[]> {
  const known = new Set((await batch(db, selectContents.with(locations))).flat().map(objectName))
  const old: Location[] = []
  for (const location of locations) {
    if (!known.has(objectName(location)) && (await isOld(store, location))) old.push(location)
  }
  return old
}
