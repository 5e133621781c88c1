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

it('copy moves blobs into a bucket, and out of it', async () => {
  const server = await startS3Server()
  const cwd = freshDirectory()
  const places = {
    local: { type: 'local', storePath: './blobs' },
    bucket: { ...server.config, prefix: 'agents' },
    back: { type: 'local', storePath: './back' },
  } as const
  for (const [name, blobStore] of Object.entries(places)) {
    const storage = { database: { type: 'sqlite', path: `${name}.db` }, blobStore }
    writeFileSync(join(cwd, `${name}.yml`), JSON.stringify({ storage }))
  }
  const source = await openStorageFromFile(join(cwd, 'local.yml'), quiet)
  const { uri } = await source.blobs.put(Buffer.from('moved twice'))
  await source.messages.append('chat', { role: 'user', content: `see ${uri}` })
  await source.close()
  for (const [from, to] of [
    ['local', 'bucket'],
    ['bucket', 'back'],
  ]) {
    const copied = await holdfast(['copy', '--from', `${from}.yml`, '--to', `${to}.yml`, '--verify'], { cwd })
    expect(copied).toMatchObject({ code: 0, stdout: expect.stringMatching(/\nboth sides are equal\n$/) })
  }
  expect((await holdfast(['blobs', 'get', uri, '--config', 'bucket.yml'], { cwd })).stdout).toBe('moved twice')
  await server.close()
  expect((await holdfast(['blobs', 'get', uri, '--config', 'back.yml'], { cwd })).stdout).toBe('moved twice')
})
