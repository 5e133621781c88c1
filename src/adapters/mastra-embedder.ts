/** The first number of a vector that holds a text. No model makes such a number. */
const MARK = Number.MAX_SAFE_INTEGER
/** How many UTF-16 units one number holds. */
const PACKED = 3

/**
 * A model for Mastra that embeds nothing. It passes the texts on as numbers, and the vector store embeds the text of a query with
 * the model of the storage. So saving a message does not wait for a model, and no message is embedded twice.
 */
export interface MastraTextEmbedder {
  readonly specificationVersion: 'v2'
  readonly provider: string
  readonly modelId: string
  readonly maxEmbeddingsPerCall: number
  readonly supportsParallelCalls: boolean
  /** Returns the texts as lists of numbers. */
  doEmbed(call: { values: string[] }): Promise<{ embeddings: number[][]; usage: { tokens: number } }>
}

/** Returns the embedder that passes texts on. */
export function textEmbedder(modelId: string): MastraTextEmbedder {
  return {
    specificationVersion: 'v2',
    provider: 'holdfast',
    modelId,
    maxEmbeddingsPerCall: Number.POSITIVE_INFINITY,
    supportsParallelCalls: true,
    doEmbed: async ({ values }) => ({ embeddings: values.map(numbersOf), usage: { tokens: 0 } }),
  }
}

/** Returns a text as numbers: a mark, the length, and the characters. */
function numbersOf(text: string): number[] {
  const numbers = [MARK, text.length]
  for (let start = 0; start < text.length; start += PACKED) {
    let packed = 0
    for (let i = 0; i < PACKED; i++) packed = packed * 0x10000 + (text.charCodeAt(start + i) || 0)
    numbers.push(packed)
  }
  return numbers
}

/** Returns the text that `numbersOf` has converted, or undefined if the numbers are the vector of a model. */
export function textOfNumbers([mark, length, ...numbers]: readonly number[]): string | undefined {
  if (mark !== MARK) return undefined
  const characters = numbers.flatMap((packed) => {
    return [Math.floor(packed / 0x1_0000_0000), Math.floor(packed / 0x10000) % 0x10000, packed % 0x10000]
  })
  let text = ''
  for (const character of characters) text += String.fromCharCode(character)
  return text.slice(0, length)
}
