import type { S3Fault } from 'holdfast/testing'
import { afterAll, describe } from 'vitest'
import { sharedDatabases } from '../../setup/databases.ts'
import { rounds } from '../../setup/rounds.ts'
import { contentionTests } from './contention.ts'
import { serve } from './fixture.ts'

const FAULTS: S3Fault[] = [
  { before: { status: 503, code: 'SlowDown' } },
  { after: { status: 500, code: 'InternalError' } },
  { before: 'reset' },
  { after: 'reset' },
]

// A few failures, all of which are made up for: a race is more likely if some requests take longer.
const server = await serve({
  fault: () => (Math.random() < 0.02 ? FAULTS[Math.floor(Math.random() * FAULTS.length)] : undefined),
})
afterAll(() => server.close())

describe.each(sharedDatabases)('on %s,', (name, database) => {
  const folder = (prefix: string) => `${prefix}-${name}`
  contentionTests({
    async configure(prefix, maxTotalSize) {
      const options = { maxAttempts: 10 }
      const blobStore = { ...server.config, prefix: folder(prefix), maxTotalSize, options }
      return { database: await database(), blobStore }
    },
    countObjects: (prefix) =>
      [...server.objects.keys()].filter((key) => key.startsWith(`${folder(prefix)}/objects`)).length,
    rounds: rounds(10, 2000),
  })
})
