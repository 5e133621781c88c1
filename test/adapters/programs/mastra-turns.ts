/** Saves turns of a thread of Mastra, in a race with another process that does the same, and says each when it is stored. */
import { openStorage } from 'holdfast'
import { HoldfastMemory } from 'holdfast/mastra'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', name = '', turns = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
const memory = new HoldfastMemory(storage)
for (let turn = 0; turn < Number(turns); turn++) {
  const content = { format: 2 as const, parts: [{ type: 'text' as const, text: `${name} ${turn}` }] }
  const ofBoth = { role: 'user' as const, threadId: 'race', resourceId: 'both', createdAt: new Date(), content }
  await memory.saveMessages({ messages: ['q', 'a'].map((part) => ({ ...ofBoth, id: `${name} ${turn} ${part}` })) })
  await memory.updateThread({ id: 'race', metadata: { [`${name} ${turn}`]: true } })
  await memory.updateResource({ resourceId: 'both', metadata: { [`${name} ${turn}`]: true } })
  say({ turn })
}
