/** Writes until SIGTERM, then closes the storage. The process ends by itself when nothing keeps it alive. */
import { openStorage, StorageError } from 'holdfast'
import { say } from '../../setup/say.ts'
import type { Acknowledged } from '../acknowledged.ts'

const [config = '', name = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config))
process.once('SIGTERM', () => void storage.close())

let counted = 0
async function work(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `${name} ${writer} ${i}`
    await storage.transaction(async (tx) => {
      await tx.messages.append('transactions', { id, role: 'user', content: id })
      await tx.kv.set(`transaction ${id}`, id)
      await tx.lists.append('transactions', id)
    })
    say<Acknowledged>({ transaction: id })
    if (writer > 0) continue
    await storage.kv.set(`count ${name}`, counted + 1)
    say<Acknowledged>({ counted: ++counted })
  }
}

const ends = await Promise.allSettled([0, 1, 2, 3].map(work))
for (const end of ends) {
  if (end.status === 'rejected')
    say({ refused: end.reason instanceof StorageError ? end.reason.code : String(end.reason) })
}
