import { expect, it } from 'vitest'
import { explore, oneMarker, removeAfterCommit, setOfMarks } from './model.ts'

const sizes = [
  { writers: 1, readers: 2 },
  { writers: 2, readers: 2 },
  { writers: 3, readers: 2 },
]

it.each(sizes)('a set of marks lets nobody hit a row older than a commit: $writers writers', (size) => {
  const { states, violation } = explore(setOfMarks, size)
  expect(violation).toBeUndefined()
  expect(states).toBeGreaterThan(50)
})

it.each(sizes)('a removal after the commit leaves the old row if its writer dies: $writers writers', (size) => {
  expect(explore(removeAfterCommit, size).violation).toBeDefined()
})

it('one marker protects the write of a single writer, and not those of two', () => {
  expect(explore(oneMarker, { writers: 1, readers: 2 }).violation).toBeUndefined()
  expect(explore(oneMarker, { writers: 2, readers: 2 }).violation).toBeDefined()
})

it('a set of marks needs its marks to outlive their writers', () => {
  expect(explore(setOfMarks, { writers: 1, readers: 1, evictsMarks: true }).violation).toBeDefined()
})
