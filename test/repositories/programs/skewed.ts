/** Runs maintenance and an append with a clock that is off by `offset` milliseconds: `skewed.ts <url> <session> <offset>`. */
import { say } from '../../setup/say.ts'

const [url = '', session = '', offset = '0'] = process.argv.slice(2)

const SystemDate = Date
const now = () => SystemDate.now() + Number(offset)
globalThis.Date = class extends SystemDate {
  constructor(...args: [] | [string | number | Date]) {
    super(args.length === 0 ? now() : args[0])
  }
  static override now = now
} as DateConstructor // always called with `new` here

const { openStorage } = await import('../../../src/index.ts')
const logged: string[] = []
const log = (message: string) => void logged.push(message)
const storage = await openStorage(
  { database: { type: 'postgres', url } },
  { maintenance: false, logger: { info: log, warn: log, error: log } },
)
await storage.maintain()
await storage.messages.append(session, { role: 'user', content: 'from a skewed clock' })
const seen = await storage.sessions.summary(session)
say({ seen: seen?.messageCount, lastActiveAt: seen?.lastActiveAt, logged })
await storage.close()
