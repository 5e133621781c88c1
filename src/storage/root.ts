import { Blobs } from '../blobs/blobs.ts'
import type { RowCache } from '../cache/row-cache.ts'
import type { Db } from '../database/db.ts'
import { StorageError } from '../errors.ts'
import { observed } from '../observability/observed.ts'
import { BLOBS } from '../repositories/observables.ts'
import { openRepositories, type Repositories } from '../repositories/repositories.ts'
import { runTransaction, type TransactionLayers } from './transaction.ts'
import type { Storage } from './types.ts'

/** What the storage itself has of what a scope has, too. */
export type Root = Repositories & Pick<Storage, 'blobs' | 'transaction'>

/** Opens the repositories, blobs and transactions of everybody. */
export function openRoot(layers: TransactionLayers): Root {
  const { database, context, blobs } = layers
  return {
    ...openRepositories(database, context),
    blobs: observed(blobs.blobs, BLOBS, context.observer),
    transaction: (body, options = {}) => runTransaction(layers, undefined, body, options),
  }
}

/** Returns the same for a storage with row-level security that no operator has opened: every call is refused. */
export function refusedRoot({ database, context, blobs }: TransactionLayers): Root {
  const { kit, dialect, tables, search } = database
  const executor = { run: refuse, batch: refuse }
  const db: Db = {
    ...{ kit, dialect, tables, search, ...executor, transaction: refuse, owner: undefined },
    orm: kit.ormFor(executor),
  }
  const cache: RowCache = { read: refuse, write: refuse, writeIfNew: refuse } // it may hold rows that an operator has read
  return {
    ...openRepositories(db, { ...context, cache }),
    blobs: observed(new Blobs({ db, store: blobs.rows.store, whileOpen: refuse }), BLOBS, context.observer),
    transaction: refuse,
  }
}

async function refuse(): Promise<never> {
  const message =
    'With options.rowLevelSecurity of the database the storage itself shows no rows: call storage.scope({ ownerId }), or open the storage with the option operator: true to see what everybody has'
  throw new StorageError('INVALID_STATE', message)
}
