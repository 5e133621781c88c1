/**
 * Writes storage.schema.json from the zod schemas. With --check, fails if the file is not up to date and writes
 * nothing.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { configJsonSchema } from '../src/config/index.ts'

const file = new URL('../storage.schema.json', import.meta.url)
// As JSON, which drops undefined, so that --check compares like with like.
const text = JSON.stringify(configJsonSchema(), null, 2)

if (!process.argv.includes('--check')) {
  await writeFile(file, `${text}\n`)
} else if (!isDeepStrictEqual(JSON.parse(await readFile(file, 'utf8')), JSON.parse(text))) {
  console.error('storage.schema.json is out of date: run npm run schema')
  process.exitCode = 1
}
