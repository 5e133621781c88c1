/** A place in a list of results, from 1, for each kind of search that has found the text. */
export interface Ranks {
  /** By the words of the query. */
  text?: number
  /** By the meaning of the query. */
  vector?: number
}

/** How little the first places of a list count more than the following ones. The usual value of reciprocal rank fusion. */
const RANK_CONSTANT = 60

/**
 * Merges two lists of keys, the best first: the score of a key is the sum of 1 / (60 + rank) over the lists that have it. Keys
 * of the same score keep the order of `text`, then of `vector`.
 */
export function fuse(lists: { text: readonly string[]; vector: readonly string[] }) {
  const fused = new Map<string, { score: number; ranks: Ranks }>()
  for (const kind of ['text', 'vector'] as const) {
    for (const [i, key] of lists[kind].entries()) {
      const { score, ranks } = fused.get(key) ?? { score: 0, ranks: {} }
      fused.set(key, { score: score + 1 / (RANK_CONSTANT + i + 1), ranks: { ...ranks, [kind]: i + 1 } })
    }
  }
  return [...fused].map(([key, found]) => ({ key, ...found })).sort((a, b) => b.score - a.score)
}
