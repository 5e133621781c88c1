/** When told to go, appends events in transactions that take different times: `append-events.ts <config> <name> <count>`. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', name = '', count = ''] = process.argv.slice(2)
const PER_ROUND = 20
await using storage = await openStorage(JSON.parse(config), quiet)
say({ ready: true })
await once(process.stdin, 'data')

let next = 0
const some = (length: number) =>
  Array.from({ length }, () => ({ id: `${name} ${next}`, type: 'a', runId: `run ${next++ % 3}` }))

async function write(worker: number): Promise<void> {
  for (let round = worker; next < Number(count); round++) {
    const [alone, first, second] = [some(PER_ROUND / 2), some(PER_ROUND / 4), some(PER_ROUND / 4)]
    await storage.transaction(async (tx) => {
      await tx.events.append(first)
      await sleep(round % 5)
      await tx.events.append(second)
    })
    await storage.events.append(alone)
  }
}

await Promise.all([0, 1, 2, 3].map(write))
say({ appended: next })
process.stdin.destroy()
