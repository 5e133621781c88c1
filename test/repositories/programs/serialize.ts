/**
 * When told to go, increments one counter in serializable transactions of several clients, then says how often their
 * bodies ran, and which codes failed.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { isStorageError, openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', clients = '', count = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
say({ ready: true })
await once(process.stdin, 'data')

const failed: string[] = []
let runs = 0
async function increment(): Promise<void> {
  await storage.transaction(
    async (tx) => {
      runs++
      const n = Number((await tx.kv.get('count')) ?? 0)
      await sleep(5)
      await tx.kv.set('count', n + 1)
    },
    { isolation: 'serializable' },
  )
}

async function client(): Promise<void> {
  for (let i = 0; i < Number(count); i++)
    await increment().catch((error) => failed.push(isStorageError(error) ? error.code : String(error)))
}

await Promise.all(Array.from({ length: Number(clients) }, client))
say({ runs, failed })
process.stdin.destroy()
