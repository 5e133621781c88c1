import { openStorage } from 'holdfast'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { compare, median } from '../bench/harness.ts'
import { Lab } from '../bench/lab.ts'
import { printPeers, runRows } from '../bench/report.ts'
import type { Result, Row } from '../bench/row.ts'
import { rows } from '../bench/rows.ts'
import { rounds } from './setup/rounds.ts'

const effort = { rounds: 1, sampleMillis: 0, warmupMillis: 0 }

describe('runRows()', () => {
  const url = new URL('../src/index.ts', import.meta.url).href
  const lab = new Lab({ subject: { openStorage, url }, effort, messages: 400, sessions: 40, blobBytes: 1e5 })
  afterAll(() => lab.close())

  // A test for each row, so that the time of a test does not grow with the number of rows.
  // Each second row in `npm test`: the rows of the two databases alternate from group to group.
  const some = rows.filter((row, i) => i % rounds(4, 1) === 0 || row.name.includes('round trips'))
  test.each(some.map((row) => [row.name, row] as const))(
    'returns and prints finite values for %s',
    async (name, row) => {
      const printed: string[] = []
      const results = await runRows([row], lab, (line) => printed.push(line))

      expect(results.map((each) => each.row.name)).toEqual([name])
      for (const { result } of results) {
        const values = [result.value, ...Object.values(result.others ?? {}), ...Object.values(result.micros ?? {})]
        for (const value of values) expect(Number.isFinite(value) && value >= 0).toBe(true)
        if (name.includes('round trips')) expect(result.value).toBe(1)
      }
      expect(printed.filter((line) => line.startsWith(`${name}  `))).toHaveLength(1)
    },
  )

  test('has a row for round trips', () => {
    expect(rows.filter(({ name }) => name.includes('round trips'))).not.toEqual([])
  })
})

test('compare() calls each way once per round, in an order that changes', async () => {
  const calls: string[] = []
  const way = (name: string) => ({ call: (i: number) => calls.push(`${name}${i}`) })
  const ways = { ours: way('a'), baseline: way('b'), others: { third: way('c') }, close: async () => {} }
  const measured = await compare(ways, 1, { ...effort, rounds: 20 })
  expect(Object.keys(measured.otherRatios)).toEqual(['third'])

  const rounds = calls.slice(3) // the warm-up
  for (let i = 0; i < 20; i++) {
    const round = rounds.slice(3 * i, 3 * i + 3)
    expect(round.toSorted()).toEqual([`a${i + 1}`, `b${i + 1}`, `c${i + 1}`])
  }
  expect(
    new Set(
      rounds
        .map((call) => call.slice(0, 1))
        .join('')
        .match(/.../g),
    ).size,
  ).toBeGreaterThan(1)
})

test('compare() returns a ratio of 2 for a way that takes twice as long when the machine slows down', async () => {
  let slowness = 1
  let clock = 0 // a clock of its own: other work of the machine must not count
  vi.spyOn(performance, 'now').mockImplementation(() => clock)
  onTestFinished(() => void vi.restoreAllMocks())
  const spin = (millis: number) => {
    clock += millis * slowness
  }
  const ways = {
    ours: { call: () => spin(0.4) },
    baseline: { call: () => spin(0.2) },
    close: async () => {},
  }
  // The machine slows down little within a round, and much from the first round to the last.
  const tidy = async () => {
    slowness *= 1.03
  }
  const { ratio } = await compare({ ...ways, baseline: { ...ways.baseline, tidy }, ours: { ...ways.ours, tidy } }, 1, {
    rounds: 30,
    sampleMillis: 1,
    warmupMillis: 5,
  })
  expect(ratio).toBeGreaterThan(1.6)
  expect(ratio).toBeLessThan(2.5)
})

test('compare() keeps the given number of calls in flight', async () => {
  let running = 0
  let most = 0
  const call = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 1))
    running--
  }
  await compare({ ours: { call }, baseline: { call }, close: async () => {} }, 16, effort)
  expect(most).toBe(16)
})

test('median() returns the middle value, or the mean of the two middle values', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('printPeers() says which package is faster, and why', () => {
  const run = () => Promise.reject(new Error('was run before'))
  const results: { row: Row; result: Result }[] = [
    {
      row: { name: 'get', target: {}, peers: 'it checks nothing', run },
      result: { value: 2, unit: 'x', others: { drizzle: 5, prepared: 1, readFile: 0.1 } },
    },
    {
      row: { name: 'append', target: { atLeast: 3 }, peers: '', run },
      result: { value: 3, unit: 'x', others: { kysely: 0.5 } },
    },
    { row: { name: 'alone', target: {}, run }, result: { value: 1, unit: 'x' } },
    {
      row: { name: 'put', target: { atMost: 1 }, peers: '', against: 'SqliteSaver', run },
      result: { value: 0.5, unit: 'x' },
    },
  ]
  const printed: string[] = []
  printPeers(results, (line) => printed.push(line))
  const [, , get, append, put, verdict] = printed
  expect(get).toMatch(/^get +drizzle 2\.50, prepared 0\.50$/)
  expect(append).toMatch(/^append +kysely 6\.00$/)
  expect(put).toMatch(/^put +SqliteSaver 2\.00$/)
  expect(verdict).toBe('Faster than ours:\n  get: prepared may be, because it checks nothing')
})
