import { type Token, tokenize } from './tokenizer.ts'

/** PostgreSQL keeps at most this many places of a token. */
const MAX_PLACES = 255
/** Fills the places of a token beyond that. It is no letter, so no query asks for it. */
const FILLER = '\ue000'
/** PostgreSQL takes at most 1,048,575 bytes of different tokens and their places. */
const MAX_BYTES = 1_000_000

/** Returns the tokens of a text that are indexed, with undefined in the places that are left out. */
export function indexedTokens(text: string): (Token | undefined)[] {
  const places = new Map<string, number>()
  const indexed: (Token | undefined)[] = []
  let bytes = 0
  for (const token of tokenize(text)) {
    const before = places.get(token.text) ?? 0
    // A UTF-16 unit takes at most 3 bytes, a place 2, and the beginning of a token 4.
    bytes += before === 0 ? 3 * token.text.length + 8 : 2
    if (bytes > MAX_BYTES) break
    places.set(token.text, before + 1)
    indexed.push(before < MAX_PLACES ? token : undefined)
  }
  return indexed
}

/** Returns the text that SQLite indexes: its tokenizer takes it apart at the spaces and nowhere else. */
export function ftsDocument(text: string): string {
  let document = ''
  for (const token of indexedTokens(text)) document += `${token?.text ?? FILLER} `
  return document
}

/** Returns the text of a tsvector: `'token':1,7 'other':2`. PostgreSQL's parser takes no part in it. */
export function tsvectorDocument(text: string): string {
  const places = new Map<string, string>()
  for (const [i, token] of indexedTokens(text).entries()) {
    if (token === undefined) continue
    const before = places.get(token.text)
    places.set(token.text, before === undefined ? String(i + 1) : `${before},${i + 1}`)
  }
  let document = ''
  for (const [token, at] of places) document += `'${token}':${at} `
  return document
}
