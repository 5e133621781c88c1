import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { lasting, quiet } from './backends.ts'

type Acknowledged = { content: string; kind: 'memory' | 'message' }

test.each(Object.entries(lasting))(
  'what a killed process has written is embedded by the next, on %s',
  async (_, configure) => {
    for (let round = 0; round < rounds(1, 20); round++) {
      const config = await configure()
      const script = runScript<Acknowledged>('test/recall/programs/hanging-model.ts', [JSON.stringify(config)])
      await script.next(undefined, 60_000)
      await sleep(150 + ((round * 37) % 200))
      await script.kill()
      const embedding = wordEmbedding()
      await using storage = await openStorage(config, { ...quiet, embedding })
      const pending = (await storage.stats()).embeddings?.pending ?? 0
      // The naive queue is in the memory of the process that wrote: nothing of it is left.
      expect(pending).toBeGreaterThan(0)
      await storage.maintain()
      expect((await storage.stats()).embeddings?.pending).toBe(0)
      for (const { content, kind } of script.messages.slice(-20)) {
        const options = { mode: 'vector', limit: 1 } as const
        const found =
          kind === 'memory'
            ? (await storage.memories.recall(content, options)).items[0]?.memory.content
            : (await storage.messages.recall(content, options)).items[0]?.message.content
        expect(found).toBe(content)
      }
    }
  },
  300_000,
)
