import { tokenize } from './tokenizer.ts'

/** Tokens that follow each other. */
export interface Phrase {
  tokens: readonly [string, ...string[]]
  /** True if the last token may have any ending. */
  isPrefix: boolean
}

/** What a text must have to be found. A query without `required` finds nothing. */
export interface SearchQuery {
  /** One phrase of each list. */
  required: readonly (readonly [Phrase, ...Phrase[]])[]
  /** None of these. */
  excluded: readonly Phrase[]
}

/** A word or a quoted text, with a minus before or an asterisk after it. The end of the query closes a quotation. */
const TERM = /(-?)(?:"([^"]*)(?:"|$)(\*?)|([^\s"]+))/g

/**
 * Reads a query: words that must all occur, "a phrase", word*, a OR b, -word. Every text is a query: what has no meaning here
 * is passed over.
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
  // A text without spaces may go on in the document, so its last character must not be the last one there.
  const isAlone = last.kind === 'last' && found.at(-2)?.end !== last.end
  if (last.kind === 'last' && !isAlone) found.pop()
  const [first, ...rest] = found.map((token) => token.text)
  return first === undefined ? undefined : { tokens: [first, ...rest], isPrefix: hasStar || isAlone }
}

/** Returns the query in the language of FTS5, for the column `terms`: always quoted, so that no text is an error. */
export function ftsQuery({ required, excluded }: SearchQuery): string {
  const all = required.map((phrases) => `(${phrases.map(ftsPhrase).join(' OR ')})`).join(' AND ')
  if (excluded.length === 0) return `(${all})`
  // One NOT: each would make the tree a level deeper, and FTS5 takes 256.
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
