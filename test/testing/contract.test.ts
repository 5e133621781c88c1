import { openStorage } from 'holdfast'
import { type ContractCase, repositoryContract, withFaults } from 'holdfast/testing'
import { expect, it } from 'vitest'

const failuresOf = async (cases: ContractCase[]) => {
  const failed: string[] = []
  for (const { name, run } of cases) await run().catch(() => failed.push(name))
  return failed
}

it('repositoryContract() gives each case a different name', () => {
  const names = repositoryContract((options) => openStorage({}, options)).map(({ name }) => name)
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([])
})

it('repositoryContract() names the input that a backend does not handle', async () => {
  const cases = repositoryContract(async (options) =>
    withFaults(await openStorage({}, options), ({ name, args: [, value] }) =>
      name === 'kv.set' && value === 2 ** 53 ? { after: new Error('too large') } : undefined,
    ),
  )
  const aboutValues = cases.filter(({ name }) => name.startsWith('kv.set() and setIfAbsent() keep the value'))
  expect(aboutValues.length).toBeGreaterThan(10)
  expect(await failuresOf(aboutValues)).toEqual([`kv.set() and setIfAbsent() keep the value ${2 ** 53}`])
})
