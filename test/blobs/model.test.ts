import { expect, it } from 'vitest'
import { soak } from '../setup/rounds.ts'
import { explore, firstProtocol, twoFlights } from './model.ts'

const sizes = [
  { puts: 2, collectors: 1 },
  { puts: 2, collectors: 2 },
  { puts: 3, collectors: 1 },
]

it.each(sizes)(
  'a collection in two flights loses no acknowledged blob and miscounts nothing, with $puts puts and $collectors collectors',
  (size) => {
    for (const damage of size.puts === 2 || soak ? [false, true] : [false]) {
      const { states, violation } = explore(twoFlights, { ...size, damage })
      expect(violation).toBeUndefined()
      expect(states).toBeGreaterThan(500)
    }
  },
  60_000,
)

it.each(sizes)('a removal under the lock loses bytes if it arrives late, with $puts puts', (size) => {
  expect(explore(firstProtocol, { ...size, late: false }).violation).toBeUndefined()
  expect(explore(firstProtocol, size).violation).toMatchObject({ wrong: 'bytes are lost' })
})

it('healing in place loses the healed bytes if the damaged ones are moved to quarantine late', () => {
  const healsInPlace = { ...twoFlights, healsElsewhere: false }
  expect(explore(healsInPlace, { puts: 2, collectors: 1, damage: true }).violation).toMatchObject({
    wrong: 'bytes are lost',
  })
})
