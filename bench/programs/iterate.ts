/** Iterates over the seeded session of a storage, and says how many messages it met and what the peak of its memory rose by. */
import { SEEDED } from '../sample.ts'

const [url = '', config = ''] = process.argv.slice(2)
const { openStorage }: typeof import('holdfast') = await import(url)

await using storage = await openStorage(JSON.parse(config), { maintenance: false })
await storage.messages.latest(SEEDED, 1)
const peak = () => process.resourceUsage().maxRSS / 1024
const before = peak()
let messages = 0
for await (const _ of storage.messages.iterate(SEEDED)) messages++
console.log(JSON.stringify({ messages, mebibytes: peak() - before }))
