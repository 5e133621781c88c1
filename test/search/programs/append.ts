/** Appends, updates and deletes until it is killed. Says what was acknowledged. */
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'

const [config = '', name = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { maintenance: false })
for (let i = 0; ; i++) {
  const [id, session] = [`${name}-${i}`, `s${i % 5}`]
  await storage.messages.append(session, { id, role: 'user', content: `word${name}x${i} first` })
  say({ id, state: 'first' })
  if (i % 3 === 1) {
    await storage.messages.update(session, id, { content: `word${name}x${i} second` })
    say({ id, state: 'second' })
  }
  if (i % 3 === 2) {
    await storage.messages.delete(session, [id])
    say({ id, state: 'deleted' })
  }
}
