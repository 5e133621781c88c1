import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Source {
  file: string
  text: string
}

/**
 * Returns the imports that lead from a folder of `src/` to one that biome.json does not let it import, as `from -> to`.
 */
export function upwardImports(root: string, sources: readonly Source[]): string[] {
  const forbidden = forbiddenFolders(root)
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => forbidden.get(folderOf(source.file))?.has(folderOf(target)))
      .map((target) => `${source.file} -> ${target}`),
  )
}

/** Returns the import cycles, cycles through types included, as `a -> b -> a`. Each is found once. */
export function importCycles(sources: readonly Source[]): string[] {
  const imports = new Map(sources.map((source) => [source.file, importsOf(source)]))
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    if (start >= 0) cycles.push([...path.slice(start), file].join(' -> '))
    if (start >= 0 || done.has(file)) return
    for (const target of imports.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) visit(file, [])
  return cycles
}

/** Returns the targets of relative imports and re-exports, type imports and dynamic imports included. */
function importsOf({ file, text }: Source): string[] {
  const code = text.replace(/\/\*\*.*?\*\//gs, '')
  return [...code.matchAll(/(?:\bfrom |\bimport\()'(\.[^']+)'/g)].map(([, target = '']) => join(file, '..', target))
}

/**
 * Returns the folder of `src/` that a file is in: `database` for a driver, `index.ts` for `src/index.ts` itself.
 */
function folderOf(file: string): string {
  return file.split('/')[1] ?? ''
}

/** Returns, by folder, the folders and files of `src/` that biome.json keeps it from importing. */
export function forbiddenFolders(root: string): Map<string, Set<string>> {
  const { overrides } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8')) as {
    overrides: {
      includes: string[]
      linter: { rules: { style: { noRestrictedImports: { options: { patterns: { group: string[] }[] } } } } }
    }[]
  }
  return new Map(
    overrides.map(({ includes: [folder = ''], linter }) => {
      const groups = linter.rules.style.noRestrictedImports.options.patterns.flatMap(({ group }) => group)
      return [folderOf(folder), new Set(groups.map((glob) => glob.replaceAll('**', '').replaceAll('/', '')))]
    }),
  )
}
