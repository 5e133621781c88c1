/** Appends one message after another to `session` until its input ends, then says how long they took. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', session = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
const append = async () => {
  const begun = performance.now()
  await storage.messages.append(session, { role: 'user', content: 'x' })
  return performance.now() - begun
}
for (let i = 0; i < 50; i++) await append() // compiled and connected by now
say({ ready: true })
process.stdin.resume()
let goesOn = true
void once(process.stdin, 'end').then(() => {
  goesOn = false
})
const took: number[] = []
while (goesOn) {
  took.push(await append())
  await sleep(2)
}
took.sort((a, b) => a - b)
say({
  count: took.length,
  median: took[took.length >> 1],
  p99: took[Math.floor(took.length * 0.99)],
  longest: took.at(-1),
})
