import { storeNamedBy } from '../blobs/store-identity.ts'
import { resolveConfig } from '../config/resolve.ts'
import type { StorageConfig } from '../config/types.ts'
import { openDatabase } from '../database/open.ts'
import { isIndexed } from '../repositories/search/state.ts'

/** What a database says about the programs that use it. */
export interface DatabaseDescription {
  /** True if they have the search switched on. */
  search: boolean
  /** True if they keep blobs in a local store. */
  hasBlobStore: boolean
}

/** Reads what the configured database says about its programs. Changes nothing, and fails as `openStorage` without `migrate`. */
export async function describeDatabase(config: StorageConfig): Promise<DatabaseDescription> {
  const database = await openDatabase(resolveConfig(config).database, { migrate: false })
  try {
    return { search: await isIndexed(database), hasBlobStore: (await storeNamedBy(database)) !== undefined }
  } finally {
    await database.close()
  }
}
