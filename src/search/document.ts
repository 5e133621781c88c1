import { type Token, tokenize } from './tokenizer.ts'

/** PostgreSQL keeps at most this many positions of a token. */
const MAX_POSITIONS = 255
/** Stands in SQLite's index for further occurrences of the token. It is no letter, so no query asks for it. */
const FILLER = '\ue000'
/** A tsvector of PostgreSQL has at most 1,048,575 bytes of different tokens and their positions. */
const MAX_BYTES = 1_000_000

/** Returns the tokens of a text that are indexed, by position. Undefined stands at a position that is left out. */
export function indexedTokens(text: string): (Token | undefined)[] {
  const counts = new Map<string, number>()
  const indexed: (Token | undefined)[] = []
  let bytes = 0
  for (const token of tokenize(text)) {
    const before = counts.get(token.text) ?? 0
    // At most: 3 bytes for a UTF-16 unit, 2 for a position, and 6 more for a token that is new.
    bytes += before === 0 ? 3 * token.text.length + 8 : 2
    if (bytes > MAX_BYTES) break
    counts.set(token.text, before + 1)
    indexed.push(before < MAX_POSITIONS ? token : undefined)
  }
  return indexed
}

/** Returns the text that SQLite indexes: the tokens with spaces between them, at which SQLite splits the text again. */
export function ftsDocument(text: string): string {
  let document = ''
  for (const token of indexedTokens(text)) document += `${token?.text ?? FILLER} `
  return document
}

/** Returns the text form of a tsvector: `'token':1,7 'other':2`. PostgreSQL's parser of texts is not involved. */
export function tsvectorDocument(text: string): string {
  const positions = new Map<string, string>()
  for (const [i, token] of indexedTokens(text).entries()) {
    if (token === undefined) continue
    const before = positions.get(token.text)
    positions.set(token.text, before === undefined ? String(i + 1) : `${before},${i + 1}`)
  }
  let document = ''
  for (const [token, at] of positions) document += `'${token}':${at} `
  return document
}
