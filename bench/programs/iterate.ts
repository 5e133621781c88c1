/**
 * Iterates over the seeded session of a storage. Prints the number of messages and the largest rise in memory: of the
 * live heap with --expose-gc, else of the whole process, garbage included.
 */
import { SEEDED } from '../sample.ts'

const [url = '', config = ''] = process.argv.slice(2)
const { openStorage }: typeof import('holdfast') = await import(url)

await using storage = await openStorage(JSON.parse(config), { maintenance: false })
await storage.messages.latest(SEEDED, 1)

const { gc } = globalThis
function taken(): number {
  if (gc === undefined) return process.memoryUsage.rss() // not maxRSS, which starts at the parent's
  gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const before = taken()
let messages = 0
let most = before
for await (const _ of storage.messages.iterate(SEEDED)) {
  if (++messages % (gc ? 5000 : 500) === 1) most = Math.max(most, taken())
}
most = Math.max(most, taken())
console.log(JSON.stringify({ messages, mebibytes: (most - before) / 2 ** 20 }))
