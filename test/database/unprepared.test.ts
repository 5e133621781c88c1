import { openStorage } from 'holdfast'
import { repositoryContract } from 'holdfast/testing'
import { describe, it } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

describe('PostgreSQL without prepared statements', () => {
  let url: Promise<string> | undefined
  const cases = repositoryContract(async (options) => {
    url ??= freshPostgres()
    const database = { type: 'postgres', url: await url, options: { prepare: false } } as const
    return openStorage({ database }, { ...quiet, ...options })
  })
  // A sixth of the cases is enough to send queries in every way. The others differ in what they check.
  for (const { name, run } of cases.filter((_, i) => i % rounds(16, 1) === 0)) it(name, run)
})
