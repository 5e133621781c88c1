/** When told to go, applies the retention until nothing is left to remove, and says which rows it removed. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { isStorageError, openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
say({ ready: true })
await once(process.stdin, 'data')

const removed: Record<string, number> = {}
let refused = 0
for (let goesOn = true; goesOn; ) {
  try {
    const { rows, total } = await storage.prune()
    for (const [table, count] of Object.entries(rows)) removed[table] = (removed[table] ?? 0) + count
    goesOn = total > 0
  } catch (error) {
    if (!isStorageError(error, 'INVALID_STATE') || !error.retryable) throw error
    refused++
    await sleep(5)
  }
}
say({ removed, refused })
process.stdin.destroy()
