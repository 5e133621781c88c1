/** Replaces the last item of a session as often as it can, in a race with another process that does the same. */
import { isStorageError, openStorage } from 'holdfast'
import { HoldfastSession } from 'holdfast/openai-agents'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', name = '', turns = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
const session = new HoldfastSession(storage, { sessionId: 'race' })

const user = (content: string) => ({ role: 'user' as const, content })
let accepted = 0
for (let turn = 0; turn < Number(turns); turn++) {
  // Both try each turn: the history ends with its number until one of them has replaced it.
  const expectedSuffix = [user(`${turn}`)]
  const replacement = [user(`${name} ${turn}`), user('both'), user(`${turn + 1}`)]
  try {
    const transaction = { type: 'replace_suffix' as const, expectedSuffix, replacement }
    await session.applyHistoryTransaction({ operationId: `${name} ${turn}`, transaction })
    await session.applyHistoryTransaction({ operationId: `${name} ${turn}`, transaction }) // a repeat changes nothing
    accepted++
  } catch (error) {
    if (!isStorageError(error, 'INVALID_STATE')) throw error
  }
}
say({ accepted })
