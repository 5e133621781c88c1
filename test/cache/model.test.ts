import { expect, it } from 'vitest'
import { explore, numberedMarks, oneMarker, removeAfterCommit, setOfMarks } from './model.ts'

const sizes = [
  { writers: 1, readers: 2, writes: 1 },
  { writers: 1, readers: 2, writes: 3 },
  { writers: 2, readers: 2, writes: 1 },
  { writers: 2, readers: 1, writes: 2 },
  { writers: 3, readers: 2, writes: 1 },
]

it.each(sizes)(
  'a set of marks never lets a reader hit a row older than a commit with $writers writers of $writes writes',
  (size) => {
    const { states, violation } = explore(setOfMarks, size)
    expect(violation).toBeUndefined()
    expect(states).toBeGreaterThan(50)
  },
)

it('marks let a write be acknowledged before its removal only if they are numbered', () => {
  const size = { writers: 1, readers: 1, writes: 2 }
  expect(explore({ ...setOfMarks, acknowledgesEarly: true }, size).violation).toBeDefined()
  expect(explore({ ...numberedMarks, acknowledgesEarly: true }, size).violation).toBeUndefined()
})

it('a write must wait for its removal, because the cache may evict its mark: then no row is stale unless a writer dies', () => {
  const size = { writers: 2, readers: 2, dies: false, evictsMarks: true }
  expect(explore(setOfMarks, size).violation).toBeUndefined()
  expect(explore({ ...numberedMarks, acknowledgesEarly: true }, size).violation).toBeDefined()
})

it.each(sizes)('removal after the commit leaves a stale row if one of $writers writers dies', (size) => {
  expect(explore(removeAfterCommit, size).violation).toBeDefined()
})

it('one marker protects a single writer, but not two writers', () => {
  expect(explore(oneMarker, { writers: 1, readers: 2 }).violation).toBeUndefined()
  expect(explore(oneMarker, { writers: 2, readers: 2 }).violation).toBeDefined()
})

it('a set of marks does not protect if the cache evicts the mark of a writer that dies', () => {
  expect(explore(setOfMarks, { writers: 1, readers: 1, evictsMarks: true }).violation).toBeDefined()
})
