import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

// The union exists at compile time alone, so both are read as text.
const union = [...readFileSync('src/errors.ts', 'utf8').matchAll(/^ {2}\| '([A-Z_]+)'$/gm)].map(([, code]) => code)
const table = readFileSync('docs/errors.md', 'utf8')
  .split('\n')
  .filter((line) => /^\| [A-Z_]+ \|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))

test('docs/errors.md has every code, in the order of the union, and no other', () => {
  expect(union.length).toBeGreaterThan(20)
  expect(table.map(([, code]) => code)).toEqual(union)
})

test('each says what it means and what to do', () => {
  for (const [, code, meaning, remedy] of table) {
    expect(meaning, code).toMatch(/^[A-Z`].{20,}\.$/)
    expect(remedy, code).toMatch(/^[A-Z`].{10,}\.$/)
  }
})
