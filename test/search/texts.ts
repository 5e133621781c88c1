/** Words of a dozen scripts, as people write them. Some are compounds, some have marks, some are code. */
const WORDS = [
  ...[
    'invoice',
    'Invoice',
    'train',
    'the',
    'of',
    'window',
    'seat',
    'foo_bar',
    'v1.2.3',
    'ada@example.com',
    'C++',
    "don't",
  ],
  ...[
    'Rechnung',
    'Rechnungsnummer',
    'Straße',
    'STRASSE',
    'Käse',
    'Kase',
    'café',
    'cafe\u0301',
    'naïve',
    'œuvre',
    'Łódź',
  ],
  ...['İstanbul', 'ısı', 'ISI', 'Ὀδυσσεύς', 'ΟΔΟΣ', 'οδος', 'Привет', 'ёлка', 'елка', 'Київ', 'й'],
  ...[
    '東京',
    '東京都',
    '京都',
    '都',
    '请问',
    '你好',
    '你好吗',
    '寿司を食べる',
    'カタカナ',
    'ｶﾀｶﾅ',
    'ガ',
    '안녕하세요',
    '안녕',
    '세계',
  ],
  ...['สวัสดี', 'สวัสดีครับ', 'ครับ', 'ສະບາຍດີ', 'សួស្តី', 'မင်္ဂလာပါ', 'नमस्ते', 'दुनिया', 'வணக்கம்', 'مرحبا', 'بالعالم', 'שלום'],
  ...[
    'გამარჯობა',
    'ሰላም',
    'բարեւ',
    'iPhone用ケース',
    '１２３',
    '½',
    '①',
    '㍿',
    'ﬁn',
    '🎉',
    '👩‍👩‍👧',
    'x\u0000y',
    '\ud800',
    'a\ud800b',
  ],
  ...[
    "'",
    '"',
    '\\',
    '-',
    '*',
    'OR',
    'AND',
    'NOT',
    'NEAR',
    '(',
    ')',
    ':',
    'terms:',
    '^',
    '<->',
    '!',
    '|',
    '&',
    "''",
    '\n',
    '\t',
  ],
]

/** Returns a generator of numbers from 0 to less than `n`, the same for the same seed. */
export function random(seed: number): (n: number) => number {
  let state = seed >>> 0
  return (n) => {
    // xorshift32
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % n
  }
}

const pick = (next: (n: number) => number, words: readonly string[]) => words[next(words.length)] ?? ''

/** Returns a text of some words, with and without something between them. */
export function randomText(next: (n: number) => number): string {
  const separators = [' ', ' ', ' ', ', ', '. ', '', '-', '\n']
  let text = ''
  for (let i = next(12); i >= 0; i--) text += pick(next, WORDS) + pick(next, separators)
  return text
}

/** Returns a query: words and parts of words, with operators in the right places and in wrong ones. */
export function randomQuery(next: (n: number) => number): string {
  const term = () => {
    const word = pick(next, WORDS)
    const part = next(4) === 0 ? word.slice(0, 1 + next(word.length + 1)) : word
    return [part, part, part, `${part}*`, `-${part}`, `"${part} ${pick(next, WORDS)}"`, `"${part}"*`, `"${part}`][
      next(8)
    ]
  }
  const joints = [' ', ' ', ' OR ', ' ', '', ' OR OR ', ' - ']
  let query = ''
  for (let i = next(3); i >= 0; i--) query += `${term()}${pick(next, joints)}`
  return query
}
