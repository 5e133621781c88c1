/** Writes storage.schema.json from the zod schemas; with --check, only says whether it is up to date. */
import { readFile, writeFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { configJsonSchema } from '../src/config/index.ts'

const file = new URL('../storage.schema.json', import.meta.url)
// Through JSON once, as the file is.
const text = JSON.stringify(configJsonSchema(), null, 2)

if (!process.argv.includes('--check')) {
  await writeFile(file, `${text}\n`)
} else if (!isDeepStrictEqual(JSON.parse(await readFile(file, 'utf8')), JSON.parse(text))) {
  console.error('storage.schema.json is out of date: run node --import tsx scripts/generate-json-schema.ts')
  process.exitCode = 1
}
