import type { EmbeddingModel, Storage, StorageConfig } from 'holdfast'
import type { Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { conversation } from './sample.ts'

const DIMENSIONS = 384
const BATCH = 500
/** How many vectors are compared: as many as PostgreSQL compares without pgvector, at most half of them. */
const MAX_VECTORS = 10_000

/** Returns a vector of numbers from -1 to 1 that depends on the number alone. */
function vectorOf(seed: number): Float32Array {
  let state = seed * 2_654_435_761 + 1
  return Float32Array.from({ length: DIMENSIONS }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state / 2 ** 31
  })
}

const model: EmbeddingModel = {
  model: 'bench',
  dimensions: DIMENSIONS,
  batchSize: BATCH,
  embed: async (texts) => texts.map((text) => vectorOf(Number(text))),
}

/** Never answers: what is left are the costs of the write. */
const silent: EmbeddingModel = { ...model, embed: () => new Promise(() => {}), timeoutMillis: 2 ** 31 - 1 }

type Configure = (lab: Lab) => StorageConfig | Promise<StorageConfig>

const databases: [name: string, atMost: number, configure: Configure][] = [
  ['SQLite', 10, (lab) => ({ database: { type: 'sqlite', path: lab.file() } })],
  ['PostgreSQL', 150, async (lab) => ({ database: { type: 'postgres', url: await lab.postgresUrl() } })],
]

/** Appends with a model against without; and a recall by meaning against a loop over the same vectors in memory. */
export const recallRows: Row[] = databases.flatMap(([database, atMost, configure]) => [
  comparison({
    name: `${database}, append, with a model`,
    target: { atMost: 1.1 },
    async open(lab): Promise<Ways> {
      const [on, off] = [
        await lab.open(await configure(lab), { embedding: silent }),
        await lab.open(await configure(lab)),
      ]
      const append = (storage: Storage) => ({
        call: (i: number) => storage.messages.append(conversation(i), { role: 'user', content: String(i) }),
      })
      const close = async () => {
        for (const storage of [on, off]) await storage.close()
      }
      return { ours: append(on), baseline: append(off), others: {}, close }
    },
  }),
  comparison({
    name: `${database}, recall by meaning`,
    target: { atMost },
    effort: { rounds: 10 },
    async open(lab): Promise<Ways> {
      const count = Math.min(lab.options.messages, MAX_VECTORS)
      const storage = await lab.open(await configure(lab), { embedding: model })
      for (let i = 0; i < count; i += BATCH) {
        const batch = Array.from({ length: Math.min(BATCH, count - i) }, (_, k) => ({
          role: 'user',
          content: String(i + k),
        }))
        await storage.messages.append(conversation(i / BATCH), batch)
      }
      await storage.embedPending()
      const matrix = Array.from({ length: count }, (_, i) => vectorOf(i))
      return {
        ours: { call: (i) => storage.messages.recall('', { vector: vectorOf(i), limit: 10 }) },
        baseline: { call: async (i) => nearest(matrix, vectorOf(i)) },
        others: {},
        close: () => storage.close(),
      }
    },
  }),
])

/** Returns the ten nearest of the vectors. */
function nearest(matrix: readonly Float32Array[], wanted: Float32Array): number[] {
  const scores = matrix.map((vector, row) => {
    let sum = 0
    for (let i = 0; i < DIMENSIONS; i++) sum += (vector[i] as number) * (wanted[i] as number) // both have all of them
    return { row, sum }
  })
  scores.sort((a, b) => b.sum - a.sum)
  return scores.slice(0, 10).map(({ row }) => row)
}
