import { type DocBlock, docBlocks, proseOf } from './doc-blocks.ts'

export interface ProseProblem {
  rule: 'where' | 'verb' | 'throws' | 'wide'
  line: number
}

/** Finds "where" that introduces a condition. */
export const WHERE_FOR_IF = /\bwhere (it|there|that|none|nothing|no|one|they)\b/i

/** How many columns a line of a comment has at most. Code is formatted to 120. */
const MAX_COLUMNS = 130

/** Returns the places in a source whose comments break a rule of CONTRIBUTING that a program can check. */
export function proseProblems(source: string): ProseProblem[] {
  return [...blockProblems(source), ...wideLines(source)]
}

function wideLines(source: string): ProseProblem[] {
  return source
    .split('\n')
    .flatMap((text, i) =>
      /^\s*(\/\*\*|\*|\/\/) /.test(text) && text.length > MAX_COLUMNS ? [{ rule: 'wide' as const, line: i + 1 }] : [],
    )
}

function blockProblems(source: string): ProseProblem[] {
  return docBlocks(source).flatMap((block) => {
    const prose = proseOf(block)
    const found: ProseProblem['rule'][] = []
    if (WHERE_FOR_IF.test(prose)) found.push('where')
    if (isFunction(block) && (!beginsWithVerb(prose) || endsInFragment(prose))) found.push('verb')
    if (/\bErrors?( of all)?: /.test(prose) || /@throws (?!\{[A-Z_]+\} (?:when|if) )/.test(prose)) found.push('throws')
    return found.map((rule) => ({ rule, line: block.line }))
  })
}

/**
 * Returns true if the block documents something that is called: a function, a method, or a constant that is a function.
 */
function isFunction({ declaration }: DocBlock): boolean {
  if (/^constructor\(/.test(declaration)) return false // what it constructs is documented at the class
  return (
    /^(export )?(async )?function\b/.test(declaration) ||
    /^(static |readonly |async |\*)*#?[a-z]\w*\??(<.*>)?\(/i.test(declaration) ||
    /^(export )?const \w+ = (async )?(<.*>)?\([^)]*\)[^=]*=>/.test(declaration)
  )
}

/** Words that end as a verb in the third person does, and are none. */
const NO_VERBS = new Set(
  'Its This As Whether Always Sometimes Errors Memories Messages Keys Sessions Entries Records Bytes Prompts Events Names Values Items Rows Tools Workspaces Contents Ids Blobs Tags Times'.split(
    ' ',
  ),
)

function beginsWithVerb(prose: string): boolean {
  const [first = ''] = prose.split(/[^A-Za-z]/, 1)
  return first === 'Like' || (/^[A-Z][a-z]+s$/.test(first) && !NO_VERBS.has(first))
}

/** Returns true for "Removes them; how many.": the reader must guess that the second half is the result. */
function endsInFragment(prose: string): boolean {
  return /; (how many|whether|undefined|null|true|false|the)\b[^;:]*\./.test(
    prose.replace(/; the [^.]* (is|are|has|have)\b/g, ''),
  )
}
