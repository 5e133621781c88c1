import { inArray } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, rowsStatement } from '../../database/statement.ts'
import type { Content } from '../bytes/backend.ts'
import { collectContent } from './collect.ts'
import type { BlobStore } from './store.ts'
import { STALE_MILLIS } from './verify-steps.ts'

/** How many objects one round looks at. */
const OBJECTS_A_ROUND = 5000
const SLICE_SIZE = 512
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
 */
export function straySweep(db: Db, store: BlobStore): () => Promise<number> {
  let objects: AsyncIterator<Content> | undefined
  let nextWalk = 0
  return async () => {
    const now = store.now().getTime()
    if (store.bytes.storedAt === undefined || (objects === undefined && now < nextWalk)) return 0
    let removed = 0
    for (let looked = 0; looked < OBJECTS_A_ROUND; looked += SLICE_SIZE) {
      objects ??= store.bytes.list()[Symbol.asyncIterator]()
      const slice = await take(objects, SLICE_SIZE)
      if (slice.length < SLICE_SIZE) {
        objects = undefined
        nextWalk = now + PAUSE_MILLIS
      }
      for (const hash of await withoutRow(db, slice)) {
        if ((await isOld(store, hash)) && (await collectContent(db, store, hash))) removed += 1
      }
      if (objects === undefined) break
    }
    return removed
  }
}

async function isOld({ bytes, now }: BlobStore, hash: string): Promise<boolean> {
  const storedAt = await bytes.storedAt?.(hash)
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

async function withoutRow(db: Db, contents: Content[]): Promise<string[]> {
  const known = new Set((await batch(db, selectContents.with(contents))).flat().map(({ hash }) => hash))
  return contents.map(({ hash }) => hash).filter((hash) => !known.has(hash))
}
