import { expect, it } from 'vitest'
import { explore } from './cleanup-model.ts'

const MODES = [
  { everything: false, deaths: false },
  { everything: false, deaths: true },
  { everything: true, deaths: false },
  { everything: true, deaths: true },
]

it.each(MODES)('a cleanup that marks, searches and then removes loses no blob that is named, with %o', (mode) => {
  const { states, lost } = explore('marks', mode)
  expect(lost).toBeUndefined()
  expect(states).toBeGreaterThan(500)
})

it('a cleanup that puts back what it has removed loses a blob that is named if it dies, and only then', () => {
  for (const mode of MODES) expect(explore('twice', mode).lost !== undefined).toBe(mode.deaths)
})

it('a cleanup that searches and then removes loses a blob that is named meanwhile', () => {
  expect(explore('once', { everything: false, deaths: false }).lost).toBeDefined()
})

it('a cleanup that removes what another one has marked loses a blob that was read and named meanwhile', () => {
  expect(explore('any mark', { everything: true, deaths: false }).lost).toBeDefined()
})
