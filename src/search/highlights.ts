import { indexedTokens } from './document.ts'
import type { Phrase, SearchQuery } from './query.ts'
import type { Token } from './tokenizer.ts'

/** Where a found word begins and ends in a text, in UTF-16 units. */
export type Highlight = [start: number, end: number]

type Places = readonly (Token | undefined)[]

/** Returns where the text has what the query asks for, in the order of the text. Places that touch or overlap are one. */
export function highlightsOf(text: string, { required }: SearchQuery): Highlight[] {
  const found = [...occurrencesOf(required.flat(), indexedTokens(text))].map(([, place]) => place)
  found.sort(([a], [b]) => a - b)
  const merged: Highlight[] = []
  for (const [start, end] of found) {
    const last = merged.at(-1)
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end)
    else merged.push([start, end])
  }
  return merged
}

/** Returns true if a text is found by the query: what the indexes of both databases answer. */
export function isFoundBy(text: string, { required, excluded }: SearchQuery): boolean {
  const found = new Set<Phrase>()
  for (const [phrase] of occurrencesOf([...required.flat(), ...excluded], indexedTokens(text))) found.add(phrase)
  const has = (phrase: Phrase) => found.has(phrase)
  return required.length > 0 && required.every((phrases) => phrases.some(has)) && !excluded.some(has)
}

/** Yields where the phrases are. Walks over the text once, however many phrases there are: a query may have hundreds. */
function* occurrencesOf(phrases: readonly Phrase[], places: Places): Generator<[Phrase, Highlight]> {
  const prefixes = phrases.filter(({ tokens, isPrefix }) => isPrefix && tokens.length === 1)
  const others = new Map<string, Phrase[]>()
  for (const phrase of phrases) {
    const [first] = phrase.tokens
    if (!prefixes.includes(phrase)) others.set(first, [...(others.get(first) ?? []), phrase])
  }
  for (const [at, token] of places.entries()) {
    if (token === undefined) continue
    const candidates = others.get(token.text) ?? []
    for (const phrase of prefixes.length === 0 ? candidates : [...candidates, ...prefixes]) {
      const end = endOf(phrase, places, at)
      if (end !== undefined) yield [phrase, [token.start, end]]
    }
  }
}

/** Returns where a phrase ends that begins at a place, or undefined if the text goes on with something else. */
function endOf({ tokens, isPrefix }: Phrase, places: Places, at: number): number | undefined {
  const last = tokens.length - 1
  const fits = tokens.every((token, i) => {
    const text = places[at + i]?.text
    return isPrefix && i === last ? text?.startsWith(token) : text === token
  })
  return fits ? places[at + last]?.end : undefined
}
