/**
 * Writes a row that another process has cached, and dies by SIGKILL between its commit and the invalidation:
 * `die-unannounced.ts <configuration as JSON> <key> <value> <how>`.
 */

import { RedisCacheStore } from '../../../../src/cache/redis/store.ts'
import { openStorage } from '../../../../src/index.ts'
import { quiet } from '../../../setup/silent.ts'

const [config = '{}', key = '', value = '', how = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), quiet)
RedisCacheStore.prototype.remove = () => {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}
if (how === 'transaction') {
  await storage.transaction(async (tx) => {
    await tx.kv.set(key, value)
    await tx.sessions.update('s', { title: value })
  })
} else {
  await storage.kv.set(key, value)
}
