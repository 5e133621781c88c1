/**
 * Counts what CONTRIBUTING forbids: prose in doc blocks that has to be read twice, public calls without an example,
 * imports that lead upwards, and import cycles. Prints each place, and fails if there is any.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importCycles, upwardImports } from './import-graph.ts'
import { proseProblems } from './prose-rules.ts'
import { publicCalls } from './public-api.ts'
import { sourcesBelow } from './sources.ts'

const root = resolve(import.meta.dirname, '..')
const sources = sourcesBelow(root, 'src').map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
const prose = sources.flatMap(({ file, text }) =>
  proseProblems(text).map(({ rule, line }) => ({ rule, at: `${file}:${line}` })),
)
const at = (rule: string) => prose.filter((problem) => problem.rule === rule).map((problem) => problem.at)

const counts: Record<string, string[]> = {
  'doc blocks with "where" for "if"': at('where'),
  'doc blocks of functions that begin without a verb, or return a fragment': at('verb'),
  'errors outside of `@throws {CODE} when ...`': at('throws'),
  'lines of comments over 130 columns': at('wide'),
  'public calls without an @example': publicCalls(root)
    .filter(({ doc }) => !doc.includes('@example'))
    .map(({ file, name }) => `${file} ${name}`),
  'imports that lead upwards': upwardImports(root, sources),
  'import cycles': importCycles(sources),
}

for (const [what, places] of Object.entries(counts)) {
  console.log(`${String(places.length).padStart(4)}  ${what}`)
  for (const place of places) console.log(`      ${place}`)
}
process.exitCode = Object.values(counts).some((places) => places.length > 0) ? 1 : 0
