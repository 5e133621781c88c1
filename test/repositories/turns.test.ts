import { openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'

/** Returns the number of turns of the event loop that other work gets during a call. */
async function turnsDuring(call: () => Promise<unknown>): Promise<number> {
  let turns = -1 // the first one comes after a call that takes none
  let immediate = setImmediate(function turn() {
    turns++
    immediate = setImmediate(turn)
  })
  await call()
  clearImmediate(immediate)
  return Math.max(turns, 0)
}

/** SQLite answers within the turn, so a walk must give the turns away itself. */
it('find(), countByDay() and iterate() let other work go on, on SQLite', async () => {
  await using storage = await openStorage({}, quiet)
  const { messages } = storage
  for (let i = 0; i < 10; i++) await messages.append('long', times(1000, { role: 'user', content: 'x' }))
  for (let i = 0; i < 20; i++) await messages.append(`short-${i}`, { role: 'user', content: 'x' })
  const absent = Array.from({ length: 1000 }, (_, i) => `absent-${i}`) // for four sessions at a time
  const all = async () => {
    for await (const { seq } of messages.iterate('long')) if (seq < 1) throw new Error('not reached')
  }
  expect(await turnsDuring(() => messages.find(absent))).toBeGreaterThanOrEqual(5)
  expect(await turnsDuring(() => messages.countByDay({ timeoutMillis: 60_000 }))).toBeGreaterThanOrEqual(3)
  expect(await turnsDuring(all)).toBeGreaterThanOrEqual(15)
  // What needs one statement takes no turn, and neither did the walks, which held up everything else.
  expect(await turnsDuring(() => messages.list('long', { limit: 1000 }))).toBe(0)
})

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value)
}
