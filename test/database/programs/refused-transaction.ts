/** Has a transaction refused that allows itself ten minutes, and closes the storage. The process then ends by itself. */
import { openStorage } from 'holdfast'
import { signal } from '../../../src/testing/contract.ts'
import { say } from '../../setup/say.ts'

const [url = ''] = process.argv.slice(2)
const database = { type: 'postgres', url, maxConnections: 1, connectionTimeoutMillis: 300 } as const
const storage = await openStorage({ database })
const { reached: held, reach: hold } = signal()
const { reached: refused, reach: refuse } = signal()
const holder = storage.transaction(async (tx) => {
  await tx.kv.set('inside', 1) // takes the only connection
  hold()
  await refused
})
await held
const [outcome] = await Promise.allSettled([storage.transaction(async () => {}, { timeoutMillis: 600_000 })])
say({ refused: outcome.status === 'rejected' && outcome.reason.code })
refuse()
await holder
await storage.close()
