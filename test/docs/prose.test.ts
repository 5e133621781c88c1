import { expect, it } from 'vitest'
import { importCycles } from '../../scripts/import-graph.ts'
import { proseProblems } from '../../scripts/prose-rules.ts'

const rulesOf = (doc: string, declaration = 'function f() {}') =>
  proseProblems(`/** ${doc} */\n${declaration}\n`).map(({ rule }) => rule)

it.each([
  ['Returns the row, or undefined where there is none.', ['where']],
  ['Whether it was there.', ['verb']],
  ['The row.', ['verb']],
  ['Removes what comes after a seq; how many.', ['verb']],
  ['Removes the row. Errors: NOT_FOUND.', ['throws']],
  ['Removes the row. @throws StorageError NOT_FOUND', ['throws']],
])('proseProblems() finds the problem of "%s"', (doc, rules) => {
  expect(rulesOf(doc)).toEqual(rules)
})

it.each([
  'Returns the row, or undefined if it does not exist.',
  'Removes the row. @throws {NOT_FOUND} when the row does not exist',
  'Like `update()`, in a transaction.',
])('proseProblems() accepts "%s"', (doc) => {
  expect(rulesOf(doc)).toEqual([])
})

it('proseProblems() asks for a verb only of what is called', () => {
  expect(rulesOf('The newest row.', 'interface Row {}')).toEqual([])
  expect(rulesOf('The newest row.', 'newest(): Row')).toEqual(['verb'])
  expect(rulesOf('@internal', 'constructor(db: Db) {')).toEqual([])
})

it('proseProblems() finds a line of a comment that is too wide', () => {
  const comment = `// ${'x'.repeat(127)}`
  expect(proseProblems(comment)).toEqual([])
  expect(proseProblems(`\n${comment}x`)).toEqual([{ rule: 'wide', line: 2 }])
})

it('importCycles() finds a cycle of type imports', () => {
  const a = { file: 'src/a/a.ts', text: "import type { B } from '../b/b.ts'" }
  const b = { file: 'src/b/b.ts', text: "export type { A } from '../a/a.ts'" }
  expect(importCycles([a, b])).toEqual(['src/a/a.ts -> src/b/b.ts -> src/a/a.ts'])
  expect(importCycles([a, { ...b, text: '' }])).toEqual([])
})
