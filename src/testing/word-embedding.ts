import { createHash } from 'node:crypto'
import type { EmbeddingModel } from '../repositories/embeddings/types.ts'

/** Options of `wordEmbedding()`. */
export interface WordEmbeddingOptions {
  /** How many numbers each vector has. Default 256. */
  dimensions?: number
  /** The name of the model. Default `words`. */
  model?: string
}

/**
 * Makes an embedding model for tests: without network, without waiting, and with the same vectors in every run. Texts that
 * share words, or words with the same beginning, are similar. It knows no meaning: `train` and `railway` are as far apart as
 * any two words.
 *
 * @example
 * ```ts
 * import { openStorage } from 'holdfast'
 * import { wordEmbedding } from 'holdfast/testing'
 * await using agent = await openStorage({}, { embedding: wordEmbedding({ dimensions: 64 }) })
 * ```
 */
export function wordEmbedding({ dimensions = 256, model = 'words' }: WordEmbeddingOptions = {}): EmbeddingModel {
  return { model, dimensions, embed: async (texts) => texts.map((text) => vectorOf(text, dimensions)) }
}

/** Adds up the directions of the words and of their beginnings. A text without words has the direction of the whole text. */
function vectorOf(text: string, dimensions: number): number[] {
  const vector = new Array<number>(dimensions).fill(0)
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .match(/[\p{L}\p{N}]+/gu) ?? [text]
  for (const word of new Set(words.flatMap(partsOf))) {
    add(vector, word, 1)
    if (word.length > 4) add(vector, `${word.slice(0, 4)}*`, 0.7)
  }
  return vector
}

/** Returns a word, or pairs of characters if its script has no spaces. */
function partsOf(word: string): string[] {
  if (!/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(word)) return [word]
  const characters = Array.from(word)
  return characters.map((character, i) => character + (characters[i + 1] ?? ''))
}

/** Adds the direction that belongs to a feature: eight of the dimensions, each up or down. */
function add(vector: number[], feature: string, weight: number): void {
  const hash = createHash('sha256').update(feature).digest()
  for (let i = 0; i < 24; i += 3) {
    const at = hash.readUInt16LE(i) % vector.length
    vector[at] = (vector[at] ?? 0) + ((hash[i + 2] ?? 0) % 2 === 0 ? weight : -weight)
  }
  vector[0] = (vector[0] ?? 0) + weight / 1000 // never only zeros
}
