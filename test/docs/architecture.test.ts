import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { forbiddenFolders } from '../../scripts/import-graph.ts'
import { pageText, root } from './pages.ts'

const page = pageText('ARCHITECTURE.md')

it('ARCHITECTURE.md names only files and folders that exist', () => {
  const files = Array.from(page.matchAll(/(?<![\w/])(?:[\w-]+\/)+[\w-]+\.ts\b/g), ([path]) => path)
  const folders = Array.from(page.matchAll(/`((?:[\w-]+\/)+)`/g), ([, path = '']) => path)
  expect(files.length).toBeGreaterThan(20)
  expect([...files, ...folders].filter((path) => !existsSync(join(root, 'src', path)))).toEqual([])
})

it('ARCHITECTURE.md has the arrows that biome.json holds', () => {
  const documented = Object.fromEntries(
    Array.from(page.matchAll(/^\| `([a-z]+)\/` \|.*\| (.*) \|$/gm), ([, folder = '', imports = '']) => [
      folder,
      Array.from(imports.matchAll(/`([a-z]+)\/`/g), ([, imported = '']) => imported).toSorted(),
    ]),
  )
  const forbidden = forbiddenFolders(root)
  const allowed = [...forbidden].map(([folder, not]) => [
    folder,
    [...forbidden.keys()].filter((other) => other !== folder && !not.has(other)).toSorted(),
  ])
  expect(documented).toEqual(Object.fromEntries(allowed))
})
