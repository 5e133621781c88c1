import { indexedTokens } from './document.ts'
import type { Phrase, SearchQuery } from './query.ts'
import type { Token } from './tokenizer.ts'

/** Where a found word begins and ends in a text, in UTF-16 units. */
export type Highlight = [start: number, end: number]

type Places = readonly (Token | undefined)[]

/** Returns where the text has what the query asks for, in the order of the text. Places that touch or overlap are one. */
export function highlightsOf(text: string, { required }: SearchQuery): Highlight[] {
  const places = indexedTokens(text)
  const found = required.flat().flatMap((phrase) => occurrencesOf(phrase, places))
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
  const places = indexedTokens(text)
  const has = (phrase: Phrase) => occurrencesOf(phrase, places).length > 0
  return required.length > 0 && required.every((phrases) => phrases.some(has)) && !excluded.some(has)
}

function occurrencesOf({ tokens, isPrefix }: Phrase, places: Places): Highlight[] {
  const found: Highlight[] = []
  const last = tokens.length - 1
  const fits = (at: number) =>
    tokens.every((token, i) => {
      const text = places[at + i]?.text
      return isPrefix && i === last ? text?.startsWith(token) : text === token
    })
  for (let at = 0; at + last < places.length; at++) {
    const [start, end] = [places[at]?.start, places[at + last]?.end]
    if (start !== undefined && end !== undefined && fits(at)) found.push([start, end])
  }
  return found
}
