import { symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import type { openStorage } from 'holdfast'
import { temporaryDirectory } from '../test/setup/temporary.ts'

const root = resolve(import.meta.dirname, '..')

/** Gives out the repositories themselves, instead of objects that tell listeners about each call. */
const withoutObservers: Plugin = {
  name: 'without-observers',
  setup({ onLoad }) {
    onLoad({ filter: /\/observability\/observed\.ts$/ }, () => ({
      contents: `export const observed = (target) => target
        export const observedCall = (observer, description, method, work) => work()`,
    }))
  },
}

/** Builds the package as it would be without channels for its calls. Returns its `openStorage`. */
export async function buildUnobserved(): Promise<typeof openStorage> {
  const directory = temporaryDirectory('bench')
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const outfile = join(directory, 'index.mjs')
  await build({
    entryPoints: [join(root, 'src/index.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['better-sqlite3', 'postgres', 'ioredis', 'yaml', 'file-type', 'mime'],
    plugins: [withoutObservers],
  })
  return ((await import(pathToFileURL(outfile).href)) as { openStorage: typeof openStorage }).openStorage // its exports
}
