import {
  InMemoryStore,
  type Operation,
  type OperationResults,
  type PutOperation,
} from '@langchain/langgraph-checkpoint'
import { wordEmbedding } from 'holdfast/testing'

const { embed, dimensions } = wordEmbedding({ dimensions: 64 })

/** A model as LangChain has it, which notes the texts that it was given. */
export class WordEmbeddings {
  readonly texts: string[] = []

  async embedDocuments(texts: string[]): Promise<number[][]> {
    this.texts.push(...texts)
    const vectors = await embed(texts, { signal: new AbortController().signal, purpose: 'document' })
    return vectors.map((vector) => Array.from(vector))
  }

  async embedQuery(text: string): Promise<number[]> {
    const [vector = []] = await this.embedDocuments([text])
    return vector
  }
}

export const index = { dims: dimensions, embeddings: new WordEmbeddings() }

/** Returns the cosine of the angle between what the model makes of two texts, calculated by hand. */
export async function cosine(a: string, b: string): Promise<number> {
  const [left = [], right = []] = await index.embeddings.embedDocuments([a, b])
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0)
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right))
}

/**
 * LangGraph's own store with an index, which forgets the vectors of what is put again or deleted: its own stay, and are
 * found.
 */
export class ForgetfulReference extends InMemoryStore {
  override async batch<Op extends readonly Operation[]>(operations: Op) {
    const nothing: Operation = { namespace: ['none'], key: 'none' }
    const reads = operations.map((operation) => ('value' in operation ? nothing : operation))
    const results = await super.batch(reads)
    const vectors: Map<string, Map<string, unknown>> = Reflect.get(this, 'vectors')
    // Of two writes of an item LangGraph embeds both.
    const writes = new Map<string, PutOperation>()
    for (const operation of operations) {
      if (!('value' in operation)) continue
      const namespace = operation.namespace.join(':')
      vectors.get(namespace)?.delete(operation.key)
      writes.set(JSON.stringify([namespace, operation.key]), operation)
    }
    await super.batch([...writes.values()])
    return results as OperationResults<Op> // a put and a get of nothing both return null
  }
}
