/** Stores a file, then a message and an event every few milliseconds until it is killed, and says how many there are. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'

const [config = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { maintenance: false })
await storage.blobs.put(Buffer.from('bytes'), { name: 'a.txt' })
for (let said = 1; ; said++) {
  await storage.messages.append('chat', { role: said % 2 ? 'user' : 'assistant', content: `Sentence ${said}` })
  await storage.events.append({ type: 'sentence.said', sessionId: 'chat', payload: { said } })
  say({ said })
  await sleep(20)
}
