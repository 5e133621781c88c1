import { tokenize } from './tokenizer.ts'

/** Tokens that follow each other in the text. */
export interface Phrase {
  tokens: readonly [string, ...string[]]
  /** True if the last token stands for every token that begins with it. */
  isPrefix: boolean
}

/** What a text must have to be found. If `required` is empty, no text is found. */
export interface SearchQuery {
  /** The text must have at least one phrase of each list. */
  required: readonly (readonly [Phrase, ...Phrase[]])[]
  /** The text must have none of these phrases. */
  excluded: readonly Phrase[]
}

/** A word or a quoted text, perhaps with a minus before it or an asterisk after it. The end of the query closes a quotation. */
const TERM = /(-?)(?:"([^"]*)(?:"|$)(\*?)|([^\s"]+))/g

/**
 * Parses a query: words that must all occur, "a phrase", word*, a OR b, -word. No text is an error: what has no meaning is
 * ignored.
 */
export function parseQuery(text: string): SearchQuery {
  const required: [Phrase, ...Phrase[]][] = []
  const excluded: Phrase[] = []
  let isAlternative = false
  for (const [, minus = '', quoted, star, word = ''] of text.matchAll(TERM)) {
    if (minus === '' && word === 'OR') {
      isAlternative = required.length > 0
      continue
    }
    const phrase = phraseOf(quoted ?? word, quoted === undefined ? word.endsWith('*') : star === '*')
    if (phrase !== undefined) {
      const last = required.at(-1)
      if (minus !== '') excluded.push(phrase)
      else if (isAlternative && last !== undefined) last.push(phrase)
      else required.push([phrase])
    }
    isAlternative = false
  }
  return { required, excluded }
}

function phraseOf(text: string, hasStar: boolean): Phrase | undefined {
  const found = tokenize(text)
  const last = found.at(-1)
  if (last === undefined) return undefined
  // In a script without spaces the document may go on after the text, and then has no token of the last character alone. So that
  // token is left out. A single character makes no pair, so it is searched for as the beginning of a token.
  const isAlone = last.kind === 'last' && found.at(-2)?.end !== last.end
  if (last.kind === 'last' && !isAlone) found.pop()
  const [first, ...rest] = found.map((token) => token.text)
  return first === undefined ? undefined : { tokens: [first, ...rest], isPrefix: hasStar || isAlone }
}

/**
 * Returns the query that any of the words answers: a question has words that no answer has. Signs mean nothing, since a
 * question may have a minus or a single quotation mark. In a script without spaces every two characters that follow each other
 * are a word.
 */
export function anyWordOf(text: string): SearchQuery {
  const phrases = new Map<string, Phrase>()
  const add = (isPrefix: boolean, [first, ...rest]: readonly string[]) => {
    if (first === undefined) return
    phrases.set([isPrefix, first, ...rest].join(' '), { tokens: [first, ...rest], isPrefix })
  }
  for (const [part] of text.matchAll(/\S+/g)) {
    const tokens = tokenize(part)
    let words: string[] = []
    for (const [i, { text: token, kind, end }] of tokens.entries()) {
      if (kind === 'word') {
        words.push(token)
        continue
      }
      add(false, words)
      words = []
      const isAlone = kind === 'last' && tokens[i - 1]?.end !== end
      if (kind === 'pair' || isAlone) add(isAlone, [token])
    }
    add(false, words)
  }
  const [first, ...others] = phrases.values()
  return { required: first === undefined ? [] : [[first, ...others]], excluded: [] }
}

/** Returns the query in the language of FTS5. Every token is quoted, so that no text is an error. */
export function ftsQuery({ required, excluded }: SearchQuery): string {
  const all = required.map((phrases) => `(${phrases.map(ftsPhrase).join(' OR ')})`).join(' AND ')
  if (excluded.length === 0) return `(${all})`
  // One NOT for all: each NOT makes the tree a level deeper, and FTS5 allows 256 levels.
  return `((${all}) NOT (${excluded.map(ftsPhrase).join(' OR ')}))`
}

const ftsPhrase = ({ tokens, isPrefix }: Phrase) => `"${tokens.join(' ')}"${isPrefix ? ' *' : ''}`

/** Returns the query in the language of PostgreSQL's tsquery. */
export function tsQuery({ required, excluded }: SearchQuery): string {
  const all = required.map((phrases) => `(${phrases.map(tsPhrase).join(' | ')})`)
  return [...all, ...excluded.map((phrase) => `!(${tsPhrase(phrase)})`)].join(' & ')
}

const tsPhrase = ({ tokens, isPrefix }: Phrase) =>
  tokens.map((token) => `'${token}'`).join(' <-> ') + (isPrefix ? ':*' : '')
