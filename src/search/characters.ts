const MARK = /^[\p{M}\uff9e\uff9f]/u // the two compose as marks do
const CONJOINING = /^[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb]/

/** `Conjoining` is a part of a Hangul syllable. */
const Kind = { Unknown: 0, Mark: 1, Conjoining: 2, Other: 3 }

/** The kinds of the characters that have occurred: a regular expression takes some microseconds to tell. */
const kinds = new Uint8Array(0x110000)

function kindOf(code: number): number {
  const kind = kinds[code] ?? Kind.Other
  if (kind !== Kind.Unknown) return kind
  const character = String.fromCodePoint(code)
  const found = MARK.test(character) ? Kind.Mark : CONJOINING.test(character) ? Kind.Conjoining : Kind.Other
  kinds[code] = found
  return found
}

/**
 * Returns where the cluster ends that begins at `start`: a Hangul syllable, or a character and the marks that follow. Nothing in
 * a cluster composes with what follows it.
 */
export function clusterEnd(text: string, start: number): number {
  const isConjoining = kindOf(text.codePointAt(start) ?? 0) === Kind.Conjoining
  for (let at = start; ; ) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
    const code = text.codePointAt(at)
    if (code === undefined) return at
    const kind = kindOf(code)
    if (kind !== Kind.Mark && !(isConjoining && kind === Kind.Conjoining)) return at
  }
}

/** A letter or digit among marks: marks alone are no word. */
const WORD = /\p{M}*[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu

/** Marks that say how a character is drawn, such as the one that makes an emoji of a sign: they belong to no word. */
const DRAWN = /[\p{Variation_Selector}\p{Me}]/gu

/** Scripts without spaces between words, and Hangul, whose words have endings that a query leaves out. */
const UNSPACED =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}\p{scx=Hangul}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** A letter of a script in which many leave the marks out, and its marks. */
const MARKED_LETTER = /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu

/** Letters that Unicode does not take apart, and how those write them who lack the letter. */
const OTHER_SPELLINGS: ReadonlyMap<string, string> = new Map([
  ['ß', 'ss'],
  ['ς', 'σ'],
  ['ı', 'i'],
  ['ø', 'o'],
  ['ł', 'l'],
  ['đ', 'd'],
  ['æ', 'ae'],
  ['œ', 'oe'],
])
const OTHERWISE_SPELLED = /[ßςıøłđæœ]/g

/** A part of a word. */
export interface Piece {
  text: string
  isUnspaced: boolean
}

const known = new Map<string, readonly Piece[]>()
const MAX_KNOWN = 20_000
const MAX_KNOWN_LENGTH = 8

/**
 * Returns what a cluster adds to words, in the form in which words are compared: NFKC, lower case, without the marks of European
 * letters. Returns nothing for punctuation, and several pieces, each the beginning of a word, for a fraction such as ½.
 */
export function piecesOf(cluster: string): readonly Piece[] {
  const before = known.get(cluster)
  if (before !== undefined) return before
  const pieces = (comparable(cluster).match(WORD) ?? []).map((text) => ({ text, isUnspaced: UNSPACED.test(text) }))
  if (known.size >= MAX_KNOWN) known.clear()
  if (cluster.length <= MAX_KNOWN_LENGTH) known.set(cluster, pieces)
  return pieces
}

function comparable(text: string): string {
  return text
    .replace(DRAWN, '')
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFKD')
    .replace(MARKED_LETTER, '$1')
    .normalize('NFKC')
    .replace(OTHERWISE_SPELLED, (letter) => OTHER_SPELLINGS.get(letter) ?? letter)
}
