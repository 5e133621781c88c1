import { repositoryContract } from 'holdfast/testing'
import { it } from 'vitest'
import { eachDatabase } from './databases.ts'

eachDatabase((open) => {
  for (const { name, run } of repositoryContract(open)) it(name, run)
})
