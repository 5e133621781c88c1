import type { Document, Node, YAMLError } from 'yaml'

type Yaml = Pick<typeof import('yaml'), 'isMap' | 'isScalar' | 'visit'>

/** The keys of a file that is the content of the section. */
export const PARTS = ['cache', 'database', 'blobStore', 'blob']

/**
 * Returns the parser's warnings of tags that it does not know, in the section and in what the section uses by an alias. The
 * rest of the file may have tags of its own.
 */
export function unknownTags(yaml: Yaml, document: Document.Parsed, text: string): YAMLError[] {
  const ranges = rangesOfSection(yaml, document, text)
  return document.warnings.filter(
    ({ code, pos: [at] }) => code === 'TAG_RESOLVE_FAILED' && ranges.some(([from, to]) => at >= from && at < to),
  )
}

/** Returns where the section is in the text, and what it uses by an alias. */
function rangesOfSection({ isMap, isScalar, visit }: Yaml, document: Document.Parsed, text: string) {
  const pairs = isMap(document.contents) ? document.contents.items : []
  const named = (names: readonly string[]) =>
    pairs.filter(({ key }) => isScalar(key) && names.includes(String(key.value)))
  const section = named(named(['storage']).length > 0 ? ['storage'] : PARTS)
  const used = new Set<Node>()
  const findUsed = (part: Node | null) => {
    visit(part, {
      Alias(_, alias) {
        const node = alias.resolve(document)
        if (node === undefined || used.has(node)) return
        used.add(node)
        findUsed(node)
      },
    })
  }
  for (const { value } of section) findUsed(value)
  const ranges = section.map(({ key, value }) => [key.range[0], (value ?? key).range[2]] as const)
  for (const { range } of used) if (range) ranges.push([beginOf(text, range[0]), range[2]])
  return ranges
}

/** Returns where the tag and the anchor of a value begin, or the value, if it has none. */
function beginOf(text: string, at: number): number {
  return /(?:[!&]\S*\s+)*$/.exec(text.slice(0, at))?.index ?? at
}
