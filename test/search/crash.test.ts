import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { checkIndex, lasting } from './databases.ts'

type Acknowledged = { id: string; state: 'first' | 'second' | 'deleted' }

test.each(Object.entries(lasting))(
  'what was acknowledged is found after a kill on %s, and nothing else',
  async (_, configure) => {
    const { on, file } = await configure()
    for (let round = 0; round < rounds(2, 40); round++) {
      const script = runScript<Acknowledged>('test/search/programs/append.ts', [JSON.stringify(on), `r${round}`])
      await script.next(undefined, 60_000)
      await sleep(100 + ((round * 37) % 200))
      await script.kill()
      const states = new Map(script.messages.map(({ id, state }) => [id, state]))
      await using storage = await openStorage(on, quiet)
      for (const word of ['first', 'second'] as const) {
        const { items } = await storage.messages.search(`${word} wordr${round}*`, { limit: 1000 })
        // The call under way when the process was killed may have been done.
        const latest = script.messages.at(-1)?.id
        const underWay = `r${round}-${Number(latest?.split('-')[1]) + 1}`
        const isSure = (id: string) => id !== latest && id !== underWay
        const found = items.map(({ message }) => message.id).filter(isSure)
        const wanted = [...states].filter(([id, state]) => state === word && isSure(id)).map(([id]) => id)
        expect(found.sort()).toEqual(wanted.slice(-1000).sort())
      }
      for (const { message, text } of (await storage.messages.search('first OR second', { limit: 1000 })).items) {
        expect((await storage.messages.get(message.sessionId, message.id))?.content).toBe(text)
      }
    }
    if (file) checkIndex(file)
  },
  300_000,
)
