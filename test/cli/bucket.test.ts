import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorageFromFile } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast } from './command-line.ts'

it('status, doctor and blobs verify know a blob store in a bucket, and print no secret', async () => {
  const server = await startS3Server({ secretAccessKey: 'geheim' })
  const cwd = freshDirectory()
  const file = join(cwd, 'agent.yml')
  const blobStore = { ...server.config, prefix: 'agents' }
  writeFileSync(file, JSON.stringify({ storage: { database: { type: 'sqlite', path: 'agent.db' }, blobStore } }))
  const storage = await openStorageFromFile(file, quiet)
  await storage.blobs.put(Buffer.from('in a bucket'))
  await storage.close()

  const status = await holdfast(['status'], { cwd })
  expect(status.stdout).toContain(`${server.endpoint}, s3://holdfast/agents/`)
  const verify = await holdfast(['blobs', 'verify'], { cwd })
  expect([verify.code, verify.stderr]).toEqual([0, expect.not.stringMatching(/geheim/)])
  const doctor = await holdfast(['doctor', '--json'], { cwd })
  expect(doctor.stdout).toMatch(/blob-store.*s3 answers/s)
  await server.close()
  const down = await holdfast(['doctor'], { cwd })
  expect(down.code).not.toBe(0)
  for (const { stdout, stderr } of [status, verify, doctor, down]) expect(stdout + stderr).not.toContain('geheim')
})
