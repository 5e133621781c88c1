import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { freshDirectory } from './databases.ts'
import { unpackInto } from './packed.ts'

export const root = resolve(import.meta.dirname, '../..')
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** A project in which the packed package is installed beside its dependencies, without the optional peers. */
export interface Consumer {
  directory: string
  /** Where the package is. */
  installed: string
  /** Installs packages of this checkout. */
  link(...names: string[]): void
  /** Returns the files of the installed package whose path begins with `prefix`. */
  published(prefix: string): string[]
}

/** Makes a project and installs the packed package. */
export async function freshConsumer(): Promise<Consumer> {
  const directory = freshDirectory()
  const installed = join(directory, 'node_modules/holdfast')
  await unpackInto(installed)
  const link = (...names: string[]) => {
    for (const name of names) {
      const path = join(directory, 'node_modules', name)
      rmSync(path, { force: true })
      symlinkSync(join(root, 'node_modules', name), path)
    }
  }
  const required = Object.keys(manifest.peerDependencies).filter(
    (name) => !manifest.peerDependenciesMeta[name]?.optional,
  )
  link(...Object.keys(manifest.dependencies), ...required)
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}')
  const published = (prefix: string) =>
    readdirSync(installed, { recursive: true, withFileTypes: true, encoding: 'utf8' })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(installed, join(entry.parentPath, entry.name)))
      .filter((path) => path.startsWith(prefix))
      .toSorted()
  return { directory, installed, link, published }
}
