import { clusterEnd, type Piece, piecesOf } from './characters.ts'

/** Changes with every change of what `tokenize` returns: an index with tokens of another version is built anew. */
export const TOKENIZER_VERSION = 2

/** A token and its place in the text, in UTF-16 units. */
export interface Token {
  text: string
  start: number
  end: number
  /**
   * Scripts without spaces yield a pair for every two characters that follow each other, and then the last character alone.
   * Everything else is a word.
   */
  kind: 'word' | 'pair' | 'last'
}

/** Maximum number of tokens of a text: PostgreSQL knows no position above 16,383. */
export const MAX_TOKENS = 16_000
const MAX_TOKEN_LENGTH = 64
/** Further marks of a letter do not count: Unicode sorts marks, which takes the square of their number. */
const MAX_CLUSTER_LENGTH = 256

/** Returns the tokens of a text, at most `MAX_TOKENS`. What follows them cannot be found. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  for (let at = 0; at < text.length && tokens.length < MAX_TOKENS; ) {
    const code = text.charCodeAt(at)
    if (code < 0x80 && !isAsciiWord(code)) at += 1
    else at = readRun(text, at, tokens)
  }
  if (tokens.length > MAX_TOKENS) tokens.length = MAX_TOKENS
  return tokens
}

/** Adds the tokens of the run of letters, digits and marks that begins at `start`. Returns the place after the run. */
function readRun(text: string, start: number, tokens: Token[]): number {
  let end = start
  while (end < text.length && isAsciiWord(text.charCodeAt(end))) end += 1
  // Most words end here. A character above ASCII may be a mark of the last letter.
  if (end > start && !(text.charCodeAt(end) >= 0x80)) {
    tokens.push({ text: cut(text.slice(start, end).toLowerCase()), start, end, kind: 'word' })
    return end
  }
  return readClusters(text, start, tokens)
}

function readClusters(text: string, start: number, tokens: Token[]): number {
  const run = new Run(tokens)
  let at = start
  while (at < text.length && tokens.length < MAX_TOKENS) {
    const from = at
    at = clusterEnd(text, from)
    const pieces = piecesOf(cutCluster(text.slice(from, at)))
    if (pieces.length === 0) break
    for (const piece of pieces) {
      if (piece !== pieces[0]) run.close()
      run.add(piece, from, at)
    }
  }
  run.close()
  return at
}

/** The word, or the text without spaces, that is not complete. */
class Run {
  readonly #tokens: Token[]
  #word = ''
  /** The last character of a text without spaces, which makes a pair with the next. */
  #last = ''
  #start = 0
  #end = 0

  constructor(tokens: Token[]) {
    this.#tokens = tokens
  }

  add({ text, isUnspaced }: Piece, start: number, end: number): void {
    if ((isUnspaced ? this.#word : this.#last) !== '') this.close()
    if (isUnspaced) {
      if (this.#last !== '') this.#push(this.#last + text, end, 'pair')
      this.#last = text
      this.#start = start
    } else {
      if (this.#word === '') this.#start = start
      this.#word += text
    }
    this.#end = end
  }

  close(): void {
    if (this.#word !== '') this.#push(this.#word, this.#end, 'word')
    if (this.#last !== '') this.#push(this.#last, this.#end, 'last')
    this.#word = ''
    this.#last = ''
  }

  #push(text: string, end: number, kind: Token['kind']): void {
    this.#tokens.push({ text: cut(text), start: this.#start, end, kind })
  }
}

/** Shortens a token to what both indexes take. Leaves no half of a character at the end. */
function cut(token: string): string {
  if (token.length <= MAX_TOKEN_LENGTH) return token
  const short = token.slice(0, MAX_TOKEN_LENGTH)
  return short.isWellFormed() ? short : short.slice(0, -1)
}

function cutCluster(cluster: string): string {
  return cluster.length <= MAX_CLUSTER_LENGTH ? cluster : cluster.slice(0, MAX_CLUSTER_LENGTH).toWellFormed()
}

/** Returns true for 0 to 9, A to Z and a to z. */
function isAsciiWord(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || (code >= 65 && code <= 90)
}
