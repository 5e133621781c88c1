import { expect, it } from 'vitest'
import { explore, oneMarker, removeAfterCommit, setOfMarks } from './model.ts'

const sizes = [
  { writers: 1, readers: 2 },
  { writers: 2, readers: 2 },
  { writers: 3, readers: 2 },
]

it.each(sizes)('a set of marks never lets a reader hit a row older than a commit with $writers writers', (size) => {
  const { states, violation } = explore(setOfMarks, size)
  expect(violation).toBeUndefined()
  expect(states).toBeGreaterThan(50)
})

it.each(sizes)('removal after the commit leaves a stale row if one of $writers writers dies', (size) => {
  expect(explore(removeAfterCommit, size).violation).toBeDefined()
})

it('one marker protects a single writer, but not two writers', () => {
  expect(explore(oneMarker, { writers: 1, readers: 2 }).violation).toBeUndefined()
  expect(explore(oneMarker, { writers: 2, readers: 2 }).violation).toBeDefined()
})

it('a set of marks does not protect if the cache evicts the marks of living writers', () => {
  expect(explore(setOfMarks, { writers: 1, readers: 1, evictsMarks: true }).violation).toBeDefined()
})
