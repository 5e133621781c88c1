import { openStorage } from 'holdfast'
import { repositoryContract } from 'holdfast/testing'
import { describe, it } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

describe('PostgreSQL without prepared statements, as a pooler in transaction mode demands', () => {
  let url: Promise<string> | undefined
  const cases = repositoryContract(async (options) => {
    url ??= freshPostgres()
    const database = { type: 'postgres', url: await url, options: { prepare: false } } as const
    return openStorage({ database }, { ...quiet, ...options })
  })
  // They differ in what they do with the answers; each way to send something is among every third.
  for (const { name, run } of cases.filter((_, i) => i % rounds(3, 1) === 0)) it(name, run)
})
