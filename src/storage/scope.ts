import * as z from 'zod/mini'
import type { UserCache } from '../cache/user-cache.ts'
import { observed } from '../observability/observed.ts'
import { BLOBS } from '../repositories/observables.ts'
import { openRepositories } from '../repositories/repositories.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import type { ScopeOptions } from './options.ts'
import { runTransaction, type TransactionLayers } from './transaction.ts'
import type { StorageScope } from './types.ts'

const optionsSchema = z.strictObject({ ownerId: idSchema })

interface ScopeLayers extends TransactionLayers {
  /** Opens the cache for the values of one owner. */
  openUserCache(owner: string): UserCache
}

/** Opens the scope of one owner. It holds nothing open, and ends with the storage. */
export function openScope(layers: ScopeLayers, options: ScopeOptions): StorageScope {
  const { ownerId } = parseInput(optionsSchema, options, 'options')
  const { database, context, blobs, openUserCache } = layers
  return {
    ...openRepositories(database, context, ownerId),
    ownerId,
    cache: openUserCache(ownerId),
    blobs: observed(blobs.scoped(ownerId), BLOBS, context.observer),
    transaction: (body, transactionOptions = {}) => runTransaction(layers, ownerId, body, transactionOptions),
  }
}
