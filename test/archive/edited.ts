import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Returns the paths of all files below a directory. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => relative(directory, path))
    .toSorted()
}

/** Changes a manifest, and signs it anew. */
export function editManifest(directory: string, edit: (manifest: Record<string, unknown>) => void): void {
  const path = join(directory, 'manifest.json')
  const { sha256: _, ...manifest } = JSON.parse(readFileSync(path, 'utf8'))
  edit(manifest)
  writeFileSync(path, JSON.stringify({ ...manifest, sha256: sha256(JSON.stringify(manifest)) }))
}

/** Changes the lines of a file, and signs the archive anew. */
export function editLines(directory: string, table: string, edit: (lines: string[]) => string[]): void {
  const path = join(directory, `${table}.jsonl`)
  const lines = edit(readFileSync(path, 'utf8').trimEnd().split('\n'))
  const text = `${lines.join('\n')}\n`
  writeFileSync(path, text)
  editManifest(directory, ({ tables }) => {
    const entry = (tables as Record<string, object>)[table]
    if (entry) Object.assign(entry, { rows: lines.length, bytes: Buffer.byteLength(text), sha256: sha256(text) })
  })
}
