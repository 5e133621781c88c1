import { expect, test } from 'vitest'
import type { TestModule } from 'vitest/node'
import { totals } from './reporter.ts'

/** As much of a module as the reporter looks at. */
function module(state: string, ...results: string[]): TestModule {
  const tests = results.map((result) => ({ result: () => ({ state: result }) }))
  return { state: () => state, children: { allTests: () => tests } } as unknown as TestModule
}

test('tests are counted, and so is a file or a run that failed outside of them', () => {
  expect(totals([module('passed', 'passed', 'passed'), module('failed', 'failed', 'passed')], [], 'failed')).toBe(
    '3 passed, 1 failed',
  )
  expect(totals([module('failed')], [], 'failed')).toBe('0 passed, 1 failed')
  expect(totals([module('failed', 'passed')], [], 'failed')).toBe('1 passed, 1 failed')
  expect(totals([module('passed', 'passed')], [{ message: 'unhandled' }], 'failed')).toBe('1 passed, 1 failed')
})

test('what did not run is not passed over', () => {
  const modules = [module('passed', 'passed', 'skipped', 'pending')]
  expect(totals(modules, [], 'passed')).toBe('1 passed, 0 failed, 2 not run')
  expect(totals(modules, [], 'interrupted')).toBe('1 passed, 0 failed, 2 not run (interrupted)')
})
