/** Appends to a SQLite file, which may not become so large, and says how it ends. */
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [path = ''] = process.argv.slice(2)
process.on('SIGXFSZ', () => {}) // the write fails instead of the process
const storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
const append = (length: number) => storage.messages.append('chat', { role: 'user', content: 'x'.repeat(length) })
await append(10)
await append(8_000_000).catch(({ code, message }: Error & { code: string }) => say({ code, message }))
say({ stored: (await storage.messages.list('chat')).items.length })
await append(10)
await storage.close()
