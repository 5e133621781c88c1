import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

// Appends to a session, and says the seq of each message that was acknowledged, until its input ends.

const [path = '', session = ''] = process.argv.slice(2)
await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
let goesOn = true
process.stdin.resume().once('end', () => {
  goesOn = false
})
while (goesOn) {
  const { seq } = await storage.messages.append(session, { role: 'user', content: 'x'.repeat(500) })
  say({ seq })
}
