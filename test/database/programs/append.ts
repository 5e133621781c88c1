/** When told to go, appends messages to ten sessions, eight at a time, then says which it appended and which failed. */
import { once } from 'node:events'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'

const [config = '', name = '', count = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { maintenance: false })
say({ ready: true })
await once(process.stdin, 'data')

const appended: { session: string; id: string; seq: number }[] = []
const failed: string[] = []
let longest = 0
let next = 0

async function appendAll(): Promise<void> {
  while (next < Number(count)) {
    const i = next++
    const [session, id] = [`session ${i % 10}`, `${name} ${i}`]
    const begun = performance.now()
    try {
      const { seq } = await storage.messages.append(session, { id, role: 'user', content: id })
      appended.push({ session, id, seq })
    } catch (error) {
      failed.push(error instanceof Error && 'code' in error ? String(error.code) : String(error))
    }
    longest = Math.max(longest, performance.now() - begun)
  }
}

await Promise.all(Array.from({ length: 8 }, appendAll))
await storage.close()
say({ appended, failed, longest })
process.stdin.destroy()
