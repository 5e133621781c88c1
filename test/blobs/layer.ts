import type { StorageConfig } from 'holdfast'
import { openBlobs } from '../../src/blobs/open.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import { openDatabase } from '../../src/database/open.ts'
import { silent } from '../setup/silent.ts'

type Hooks = Pick<Parameters<typeof openBlobs>[0], 'onStep' | 'onFileStep' | 'bytes'> & { now?: () => Date }

/** Opens the blob layer without a storage, with hooks before each step. */
export async function openLayer(config: StorageConfig, { now = () => new Date(), ...hooks }: Hooks = {}) {
  const resolved = resolveConfig(config)
  const database = await openDatabase(resolved.database, { migrate: true })
  const layer = await openBlobs({ database, config: resolved, now, logger: silent, ...hooks })
  const close = async () => {
    await database.close()
    await layer.close()
  }
  return { ...layer, database, close }
}
