import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Returns the TypeScript files below a folder, as paths relative to `root`, sorted. */
export function sourcesBelow(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .toSorted()
}
