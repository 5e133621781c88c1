/** A doc block of a TypeScript source, with the declaration that it documents. */
export interface DocBlock {
  /** The line of the block's first character, from 1. */
  line: number
  /** The text without the comment's stars. */
  text: string
  /** The first line of code after the block, trimmed. Empty at the end of the file. */
  declaration: string
}

/** Returns the doc blocks of a source, in their order. */
export function docBlocks(source: string): DocBlock[] {
  return [...source.matchAll(/^[ \t]*\/\*\*(.*?)\*\//gms)].map((match) => {
    const [whole, body = ''] = match
    const after = source.slice(match.index + whole.length)
    return {
      line: source.slice(0, match.index).split('\n').length,
      text: body.replace(/^[ \t]*\* ?/gm, '').trim(),
      declaration: /\S.*/.exec(after)?.[0].trim() ?? '',
    }
  })
}

/** Returns the programs of a block's `@example` tags. */
export function examplesIn({ text }: DocBlock): string[] {
  return [...text.matchAll(/@example\n```ts\n(.*?)^```/gms)].map(([, code = '']) => code)
}

/** Returns the prose of a block: neither its examples nor code in backticks. */
export function proseOf({ text }: DocBlock): string {
  return text.replace(/```.*?```/gs, '').replace(/`[^`]*`/g, '`code`')
}
