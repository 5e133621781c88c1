import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { inLine, manyText } from '../text.ts'

export const embeddingsPgvector: Command = {
  name: 'embeddings pgvector',
  summary: 'Has PostgreSQL compare the vectors of messages and memories, by the extension pgvector.',
  details:
    'Creates the extension if the server has it, and a column, and fills the column. Programs that are running take part within a minute. Safe to repeat.',
  async run({ output, signal, open }) {
    const converted = await (await open()).enablePgvector({ signal })
    await output.print(`pgvector is enabled: ${manyText(converted, 'vector')} converted`, { converted })
    return EXIT.ok
  },
}

export const embeddingsRm: Command = {
  name: 'embeddings rm',
  summary: 'Removes the vectors of a model that is no longer used.',
  details: 'A program that still uses the model makes them again. Exits with 3 if the model has none. Safe to repeat.',
  arguments: [
    {
      name: 'MODEL',
      summary: 'The model with its dimensions, as status names it, such as text-embedding-3-small/1536.',
    },
  ],
  async run({ given, output, open, confirm }) {
    const model = given.argument('MODEL')
    const storage = await open()
    const { embeddings } = await storage.stats()
    const models = embeddings?.models ?? {}
    const count = models[model] ?? 0
    if (count > 0) await confirm(`Remove ${manyText(count, 'vector')} of ${inLine(model)}?`)
    const removed = await storage.removeEmbeddings({ model })
    await output.print(`${manyText(removed, 'vector')} removed`, { model, removed })
    if (removed > 0) return EXIT.ok
    const known =
      Object.keys(models)
        .map((each) => inLine(each))
        .join(', ') || 'none'
    output.note(`There are no vectors of ${inLine(model)}. The models with vectors: ${known}.`)
    return EXIT.findings
  },
}
