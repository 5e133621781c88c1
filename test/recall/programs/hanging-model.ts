/** Writes memories and messages, while the model never answers, until it is killed. Says what was acknowledged. */
import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { say } from '../../setup/say.ts'

const [config = ''] = process.argv.slice(2)
const words = wordEmbedding()
let calls = 0
const embedding = {
  ...words,
  batchSize: 2,
  embed: (texts: string[], call: Parameters<typeof words.embed>[1]) =>
    ++calls < 4 ? words.embed(texts, call) : new Promise<never>(() => {}),
}
const storage = await openStorage(JSON.parse(config), { maintenance: false, embedding })
for (let i = 0; ; i++) {
  const content = `word${i}`
  if (i % 2 === 0) await storage.memories.create({ content })
  else await storage.messages.append(`s${i % 3}`, { role: 'user', content })
  say({ content, kind: i % 2 === 0 ? 'memory' : 'message' })
}
