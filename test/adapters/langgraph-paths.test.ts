import { InMemoryStore } from '@langchain/langgraph-checkpoint'
import fc from 'fast-check'
import { openStorage } from 'holdfast'
import { HoldfastStore } from 'holdfast/langgraph'
import { expect, it } from 'vitest'
import { rounds } from '../setup/rounds.ts'
import { WordEmbeddings } from './langgraph-embedder.ts'

const word = fc.constantFrom('train', 'seat', 'tea')

it("embeds the texts that LangGraph's InMemoryStore embeds, whatever the path", async () => {
  await using storage = await openStorage()
  const leaf = fc.oneof(word, fc.nat(9), fc.boolean(), fc.constant(null))
  const name = fc.constantFrom('a', 'b', 'c')
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, leaf, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(name, tie('value'))),
  }))
  const part = fc.constantFrom('a', 'b', 'c', '*', '[*]', '[0]', '[-1]', '[7]', '[x]', '{a,b}', '{a.b, c,}', '$')
  const path = fc.array(part, { maxLength: 4 }).map((parts) => parts.join('.').replaceAll('.[', '['))
  const object = fc.dictionary(name, value, { minKeys: 1 })
  let n = 0
  await fc.assert(
    fc.asyncProperty(object, fc.array(path, { maxLength: 3 }), async (value, paths) => {
      const [theirs, ours] = [new WordEmbeddings(), new WordEmbeddings()]
      await new InMemoryStore({ index: { dims: 64, embeddings: theirs as never } }).put(['n'], 'k', value, paths)
      await new HoldfastStore(storage, { index: { dims: 64, embeddings: ours } }).put(['n'], `${n++ % 7}`, value, paths)
      expect(ours.texts.sort()).toEqual(theirs.texts.sort())
    }),
    { numRuns: rounds(500, 5000) },
  )
})
