import { expect, test } from 'vitest'
import type { TestModule } from 'vitest/node'
import { totals } from './reporter.ts'

/** Returns a test module with as much as the reporter reads. */
function module(state: string, ...results: string[]): TestModule {
  const tests = results.map((result) => ({ result: () => ({ state: result }) }))
  return { state: () => state, children: { allTests: () => tests } } as unknown as TestModule
}

test('totals() counts the tests of all files', () => {
  expect(totals([module('passed', 'passed', 'passed'), module('failed', 'failed', 'passed')], [], 'failed')).toBe(
    '3 passed, 1 failed',
  )
})

test('totals() counts one failure when a file or the run fails outside of its tests', () => {
  expect(totals([module('failed')], [], 'failed')).toBe('0 passed, 1 failed')
  expect(totals([module('failed', 'passed')], [], 'failed')).toBe('1 passed, 1 failed')
  expect(totals([module('passed', 'passed')], [{ message: 'unhandled' }], 'failed')).toBe('1 passed, 1 failed')
})

test('totals() counts the tests that did not run', () => {
  const modules = [module('passed', 'passed', 'skipped', 'pending')]
  expect(totals(modules, [], 'passed')).toBe('1 passed, 0 failed, 2 not run')
  expect(totals(modules, [], 'interrupted')).toBe('1 passed, 0 failed, 2 not run (interrupted)')
})
