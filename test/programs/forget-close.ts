/** Uses a storage and never closes it. Ends when nothing keeps the process alive. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { say } from '../setup/say.ts'
import { silent } from '../setup/silent.ts'

export interface Message {
  /** The key of an entry that was acknowledged. */
  acknowledged?: string
  /** True if the program has awaited its last call. */
  awaited?: boolean
}

const [config = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { logger: silent })

async function set(key: string): Promise<void> {
  await storage.kv.set(key, key)
  say<Message>({ acknowledged: key })
}

for (let i = 0; i < 20; i++) {
  await set(`one after another ${i}`)
  await storage.kv.get(`one after another ${i}`)
  await storage.messages.append('session', { role: 'user', content: `${i}` })
}
await Promise.all(Array.from({ length: 20 }, (_, i) => set(`at once ${i}`)))
await storage.blobs.put(Buffer.from('bytes'), { name: 'a.txt' })
await storage.maintain()
await storage.health()
await storage.cache.set('answer', 42)
say<Message>({ awaited: true })

// Nothing awaits these calls: they keep the process alive by themselves.
void set('in flight')
void storage
  .transaction(async (tx) => {
    await sleep(300)
    await tx.kv.set('in a transaction', 'in a transaction')
  })
  .then(() => say<Message>({ acknowledged: 'in a transaction' }))
void storage.cache.getMany(['answer']).then(() => say<Message>({ acknowledged: 'from the cache' }))
