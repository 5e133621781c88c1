import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const executionId = 'call'
const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' }

/** What makes a row or returns the one that is there, and what removes it. */
const calls: Record<string, { make(storage: Storage): Promise<unknown>; remove(storage: Storage): Promise<unknown> }> =
  {
    'approvals.request': {
      make: ({ approvals }) => approvals.request({ id: 'build', type: 'tool' }),
      remove: ({ approvals }) => approvals.delete('build'),
    },
    'toolExecutions.start': {
      make: ({ toolExecutions }) => toolExecutions.start({ executionId, identity, toolName: 'search' }),
      remove: ({ toolExecutions }) => toolExecutions.delete(executionId),
    },
  }

for (const [name, { make, remove }] of Object.entries(calls)) {
  it.each(sharedDatabases)(`${name} succeeds if the row is removed meanwhile: %s`, async (_, configure) => {
    const config = { database: await configure() } as StorageConfig
    await using storage = await openStorage(config, quiet)
    for (let i = 0; i < rounds(100, 2000); i++) {
      await make(storage)
      const made = await Promise.all([make(storage), remove(storage), make(storage), remove(storage)])
      expect(made[0]).toBeDefined()
    }
  })
}
