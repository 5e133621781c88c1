/** Fills a cache in memory, then says how many bytes it counts and the heap has grown by: `fill.ts <text as JSON> <entries>`. */

import { MemoryCacheStore } from '../../../src/cache/memory.ts'
import { encode } from '../../../src/cache/row-codec.ts'
import { VALUE } from '../../../src/cache/store.ts'
import { say } from '../../setup/say.ts'

const [text = '""', entries = '0'] = process.argv.slice(2)
const content: string = JSON.parse(text)
const cache = new MemoryCacheStore({ maxEntries: Number(entries), maxBytes: 1e9 })
cache.put('first', 'V', 60_000) // the LRU allocates its own memory now, before the measurement
const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const before = heap()
const counted = cache.stats().bytes ?? 0
for (let i = 0; i < Number(entries); i++) {
  cache.put(`row:${i}`, VALUE + encode({ id: i, content }), 60_000)
  cache.lookup(`row:${i}`)
}
say({ counted: (cache.stats().bytes ?? 0) - counted, grown: heap() - before })
