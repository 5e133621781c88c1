// Puts three contents in a transaction, says so, and neither commits nor ends: `abandon.ts <config>`.
import { randomBytes } from 'node:crypto'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const storage = await openStorage(JSON.parse(process.argv[2] ?? ''), quiet)
await storage.transaction(async (tx) => {
  for (let i = 0; i < 3; i++) await tx.blobs.put(randomBytes(100_000))
  say('put')
  await new Promise((resolve) => setInterval(resolve, 3_600_000))
})
