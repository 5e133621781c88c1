/** When told to go, writes in every way at once until it is killed, and says which writes were acknowledged. */
import { once } from 'node:events'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import type { Acknowledged } from '../acknowledged.ts'

const [config = '', name = ''] = process.argv.slice(2)
say({ ready: true })
await once(process.stdin, 'data')
const storage = await openStorage(JSON.parse(config), { maintenance: false })

async function forever(write: (id: string) => Promise<Acknowledged>, writer: number): Promise<never> {
  for (let i = 0; ; i++) say<Acknowledged>(await write(`${name} ${writer} ${i}`))
}

function append(session: string) {
  return async (id: string): Promise<Acknowledged> => {
    await storage.messages.append(session, [
      { id: `${session} ${id} a`, role: 'user', content: id },
      { id: `${session} ${id} b`, role: 'assistant', content: id },
    ])
    return { appended: { session, id } }
  }
}

async function transaction(id: string): Promise<Acknowledged> {
  await storage.transaction(async (tx) => {
    await tx.messages.append('transactions', { id, role: 'user', content: id })
    await tx.transaction((nested) => nested.kv.set(`transaction ${id}`, id))
    await tx.lists.append('transactions', id)
  })
  return { transaction: id }
}

let counted = 0
async function count(): Promise<Acknowledged> {
  counted++
  await storage.kv.set(`count ${name}`, counted)
  return { counted }
}

await Promise.all([append('one'), append('one'), append('two'), transaction, transaction, count].map(forever))
