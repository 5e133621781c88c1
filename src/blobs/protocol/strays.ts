import { inArray } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, rowsStatement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { type Content, firstLocation } from '../bytes/backend.ts'
import { collectContent } from './collect.ts'
import type { BlobStore } from './store.ts'
import { STALE_MILLIS } from './verify-steps.ts'

/** How many objects one round looks at. */
const OBJECTS_A_ROUND = 5000
const SLICE_SIZE = 512
/** More strays than these, and than a tenth of the objects of a round, are not what killed processes leave behind. */
const FEW_STRAYS = 100
/** Between two walks over a store. */
const PAUSE_MILLIS = 3_600_000

const selectContents = rowsStatement(({ orm, tables: { blobContent: c } }, rows: { hash: string }[]) =>
  orm
    .select({ hash: c.hash })
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
 * same content right after the look. `collectContent` looks again, under the usage lock.
 *
 * The step fails with INVALID_STATE, and removes nothing of the round, if many objects have no row: the database may be an
 * older backup, and a newer one be restored later.
 */
export function straySweep(db: Db, store: BlobStore): () => Promise<number> {
  let objects: AsyncIterator<Content> | undefined
  let nextWalk = 0
  return async () => {
    const now = store.now().getTime()
    if (store.bytes.storedAt === undefined || (objects === undefined && now < nextWalk)) return 0
    const strays: string[] = []
    let looked = 0
    for (let walking = true; walking && looked < OBJECTS_A_ROUND; ) {
      objects ??= store.bytes.list()[Symbol.asyncIterator]()
      const slice = await take(objects, SLICE_SIZE)
      looked += slice.length
      walking = slice.length === SLICE_SIZE
      strays.push(...(await oldWithoutRow(db, store, slice)))
      if (walking) continue
      objects = undefined
      nextWalk = now + PAUSE_MILLIS
    }
    if (strays.length > Math.max(FEW_STRAYS, looked / 10)) throw manyStrays(strays.length, looked)
    let removed = 0
    for (const hash of strays) if (await collectContent(db, store, hash)) removed += 1
    return removed
  }
}

function manyStrays(strays: number, looked: number): StorageError {
  const message = `Of ${looked} objects in the blob store, ${strays} have no record: the database may be an older backup. Nothing was removed. If they are not needed, verify({ repair: true }) removes them`
  return new StorageError('INVALID_STATE', message)
}

async function isOld({ bytes, now }: BlobStore, hash: string): Promise<boolean> {
  const storedAt = await bytes.storedAt?.(firstLocation({ hash, size: 0 }))
  return storedAt !== undefined && storedAt.getTime() < now().getTime() - STALE_MILLIS
}

async function take<T>(items: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = []
  while (taken.length < count) {
    const { done, value } = await items.next()
    if (done) break
    taken.push(value)
  }
  return taken
}

/** Returns the hashes of the contents that have no row and are older than any put may take. */
async function oldWithoutRow(db: Db, store: BlobStore, contents: Content[]): Promise<string[]> {
  const known = new Set((await batch(db, selectContents.with(contents))).flat().map(({ hash }) => hash))
  const old: string[] = []
  for (const { hash } of contents) if (!known.has(hash) && (await isOld(store, hash))) old.push(hash)
  return old
}
