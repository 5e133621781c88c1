import { openStorage, type StorageConfig } from '../../../src/index.ts'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

// Imports messages into two sessions and reports each batch, and how far the memory has risen at the end.

const [config = '', count = '', ids = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config) as StorageConfig, quiet)

function* source() {
  for (let i = 0; i < Number(count); i++) {
    yield { sessionId: `s${i % 2}`, ...(ids && { id: `m${i}` }), role: 'user', content: `${i} ${'lorem '.repeat(30)}` }
  }
}

await storage.messages.append('warm', { role: 'user', content: 'x' })
globalThis.gc?.()
const before = process.memoryUsage.rss()
let most = before
const report = await storage.messages.import(source(), {
  onProgress: ({ added, known }) => {
    most = Math.max(most, process.memoryUsage.rss())
    say({ added, known })
  },
})
say({ ...report, mebibytes: (most - before) / 2 ** 20 })
