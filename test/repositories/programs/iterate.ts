/**
 * Walks over a session in a process that has done nothing before, and prints by how many MiB the peak of its resident
 * memory exceeds its idle memory: `iterate.ts <database as JSON> <session> iterate|naive`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageConfig } from '../../../src/index.ts'
import { say } from '../../setup/say.ts'

const [config = '', session = '', how = ''] = process.argv.slice(2)
const database = JSON.parse(config) as StorageConfig['database'] // written by the test
const storage = await openStorage({ database }, { maintenance: false })
const { messages } = storage
await messages.iterate('nobody').next()

/** Yields all messages in pages of 500, however large the messages are. */
async function* naive() {
  for (let after = 0, size = 500; size === 500; ) {
    const { items } = await messages.list(session, { after, limit: 500 })
    yield* items
    after = items.at(-1)?.seq ?? after
    size = items.length
  }
}

await sleep(200)
const idle = process.memoryUsage.rss()
let characters = 0
for await (const { content } of how === 'naive' ? naive() : messages.iterate(session)) {
  characters += String(content).length
}
say({ characters, added: process.resourceUsage().maxRSS / 1024 - idle / 2 ** 20 })
await storage.close()
