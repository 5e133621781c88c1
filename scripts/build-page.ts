import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const page = resolve(import.meta.dirname, '../src/studio/page')

/**
 * Builds Studio's page into a folder. Its modules become one file: a browser would ask for them one level of imports after
 * the other.
 */
export async function buildPage(outdir: string): Promise<void> {
  await build({ entryPoints: [join(page, 'app.js')], outdir, bundle: true, format: 'esm', charset: 'utf8' })
  for (const name of ['index.html', 'studio.css', 'icon.svg']) copyFileSync(join(page, name), join(outdir, name))
}
