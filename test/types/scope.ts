import type { Storage, StorageScope } from 'holdfast'
import type { Same } from './same.ts'

// Checked by tsc: a scope has what one owner may do, and nothing that concerns all owners.

/** What the storage alone has. */
type OfAll = Exclude<keyof Storage, keyof StorageScope>
export const ofAll: Same<
  OfAll,
  | 'backup'
  | 'close'
  | 'config'
  | 'diagnose'
  | 'embedPending'
  | 'enablePgvector'
  | 'erase'
  | 'export'
  | 'health'
  | 'maintain'
  | 'prune'
  | 'rebuildSearch'
  | 'removeEmbeddings'
  | 'scope'
  | 'stats'
  | typeof Symbol.asyncDispose
> = true

/** What a scope has beside the storage. */
export const own: Same<Exclude<keyof StorageScope, keyof Storage>, 'ownerId'> = true

/** What both have has the same type, but for the blobs. */
type Shared = Exclude<keyof StorageScope & keyof Storage, 'blobs'>
export const shared: Same<Pick<StorageScope, Shared>, Pick<Storage, Shared>> = true
export const blobs: Same<Exclude<keyof Storage['blobs'], keyof StorageScope['blobs']>, 'cleanup' | 'verify'> = true

export async function refused(scope: StorageScope) {
  // @ts-expect-error the owner does not change
  scope.ownerId = 'bob'
  // @ts-expect-error it concerns the blobs of all owners
  await scope.blobs.cleanup()
  // @ts-expect-error it concerns all owners
  await scope.prune()
}
