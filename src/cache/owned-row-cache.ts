import type { Db } from '../database/db.ts'
import { OwnedDb } from '../database/owned-db.ts'
import { NOBODY } from '../database/owner.ts'
import type { Load, RowCache, RowKey, Write, WriteOutcome } from './row-cache.ts'
import type { MaybePromise } from './store.ts'

/** The tables whose rows are cached by the id of a session. A handle without an owner finds such a row, whoever owns the row. */
export const CACHED_BY_SESSION: readonly string[] = ['sessions', 'approvalStates', 'toolPreferences']

/**
 * The row cache of one owner: its keys contain the owner. A write also invalidates the row that a handle without an owner has
 * cached under the same id.
 */
export class OwnedRowCache implements RowCache {
  readonly #cache: RowCache
  readonly #owner: string

  /** `cache` is the row cache of the storage, or of a transaction. */
  constructor(cache: RowCache, owner: string) {
    this.#cache = cache
    this.#owner = owner
  }

  read<T extends object>(table: string, id: string, load: Load<T>): MaybePromise<T | undefined> {
    return this.#cache.read(table, idOf(this.#owner, id), load, this.#owner)
  }

  write<T>(rows: readonly RowKey[], work: Write<T>): Promise<T> {
    return this.#cache.write(ownedKeys(this.#owner, rows), (db) => work(this.#owned(db)))
  }

  writeIfNew<T>(rows: readonly RowKey[], work: Write<T>, outcomeOf: (result: T) => WriteOutcome): Promise<T> {
    return this.#cache.writeIfNew(ownedKeys(this.#owner, rows), (db) => work(this.#owned(db)), outcomeOf)
  }

  #owned(db: Db | undefined): Db | undefined {
    return db && new OwnedDb(db, this.#owner)
  }
}

/** Returns the keys that a write of an owner's rows invalidates. */
export function ownedKeys(owner: string, rows: readonly RowKey[]): RowKey[] {
  return rows.flatMap(([table, id]): RowKey[] => {
    const own = idOf(owner, id)
    const ids = own !== id && CACHED_BY_SESSION.includes(table) ? [own, id] : [own]
    return ids.map((each) => [table, each])
  })
}

/** Returns the id under which a row is cached. No id contains a NUL, so no two owners share a key. */
function idOf(owner: string, id: string): string {
  return owner === NOBODY ? id : `${owner}\0${id}`
}
