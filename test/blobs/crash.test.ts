import { randomBytes } from 'node:crypto'
import { readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRecord } from 'holdfast'
import { afterEach, expect, it } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds, soak } from '../setup/rounds.ts'
import { sha256, writable } from './fixture.ts'
import { blobsOfKilled, type Message } from './killed.ts'
import { eachStore, type Open, SHARED } from './stores.ts'

const DAY = 86_400_000
const later = () => new Date(Date.now() + 2 * DAY)

const COLLECT = ['collect.unlink', 'remove.unlink', 'collect.commit']
/** The steps of each operation. `npm test` leaves out steps on PostgreSQL whose code does not depend on the database. */
const STEPS: Record<string, string[]> = {
  put: [
    ...['stage.create', 'stage.write', 'stage.sync', 'put.reserve', 'put.commit', 'commit.open', 'commit.rename'],
    ...['commit.sync', 'put.insert', 'put.acknowledge'],
  ],
  delete: ['delete.remove', 'collect.lock', ...COLLECT],
  cleanup: ['cleanup.select', 'cleanup.mark', 'cleanup.search', 'cleanup.remove', 'collect.lock', ...COLLECT],
  verify: [
    ...['verify.staged', 'sweep.unlink', 'verify.damaged', 'quarantine.read', 'quarantine.rename'],
    ...['verify.missing', 'verify.unreferenced', 'verify.strays', ...COLLECT, 'verify.usage'],
  ],
}
const TRANSACTIONAL = ['put.commit', 'put.insert', 'put.acknowledge', 'collect.unlink', 'collect.commit']

function stepsOf(store: string, operation: string): string[] {
  const steps = STEPS[operation] ?? []
  if (soak) return steps
  if (store.includes('postgres'))
    return operation in REPEATED ? [] : steps.filter((step) => TRANSACTIONAL.includes(step))
  return steps.filter((step) => !REPEATED[operation]?.includes(step))
}
/** Steps whose code a delete runs as well, at the same state of the records. A clean-up has reserved the content before. */
const REPEATED: Record<string, string[]> = {
  cleanup: ['remove.unlink'],
  verify: ['collect.unlink', 'remove.unlink', 'verify.missing', 'verify.unreferenced', 'verify.strays'],
}

eachStore(SHARED, (open, configure, name) => {
  const kept = randomBytes(400_000)
  let keep: BlobRecord | undefined

  afterEach(async () => {
    if (keep) await expectIntact(open, [{ ...keep, data: kept }])
  })

  for (const operation of Object.keys(STEPS)) {
    it.each(stepsOf(name, operation))(`${operation}() killed at %s loses no acknowledged blob`, async (step) => {
      let argument = randomBytes(8).toString('hex')
      {
        await using storage = await open()
        keep ??= await storage.blobs.put(kept)
        await storage.messages.append('keeping', { id: 'keeping', role: 'user', content: keep.uri })
        if (operation !== 'put') argument = (await storage.blobs.put(randomBytes(300_000))).id
        if (operation === 'verify') damage(String(await storage.blobs.path(argument)))
      }
      const config = JSON.stringify(await configure())
      const script = runScript<Message>('test/blobs/programs/operate.ts', [config, operation, step, argument])
      expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
      expect(script.messages).toEqual([])
    })
  }

  it(
    'a process killed at any moment loses no acknowledged blob, and verify() removes its leftovers',
    async () => {
      const config = JSON.stringify(await configure())
      for (let round = 0; round < rounds(2, 200); round++) {
        const expected = await blobsOfKilled(config, [20, 320])
        await expectIntact(
          open,
          expected.map((record) => ({ ...record, data: undefined })),
        )
      }
    },
    rounds(120_000, 3_600_000),
  )
})

/** Expects that every blob can be read, and that after a repair neither `verify` nor the directory shows a leftover. */
async function expectIntact(open: Open, blobs: { id: string; hash: string; data: Buffer | undefined }[]) {
  await using storage = await open({ now: later })
  for (const { id, hash, data } of blobs) {
    const bytes = await storage.blobs.bytes(id)
    expect(sha256(bytes)).toBe(hash)
    if (data) expect(bytes.equals(data)).toBe(true)
  }
  const first = await storage.blobs.verify({ repair: true })
  const steps = first.steps.filter(({ found }) => found > 0).map(({ step }) => step)
  expect(steps).not.toContain('usage')
  expect(await storage.blobs.verify()).toMatchObject({ ok: true })
  const { contents, bytes } = await storage.blobs.stats()
  const { blobStore } = storage.config
  if (blobStore.type !== 'local') throw new Error('unreachable')
  const objects = join(blobStore.storePath, 'objects')
  expect(readdirSync(join(blobStore.storePath, 'tmp'))).toEqual([])
  const files = readdirSync(objects, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect([files.length, bytes > 0 || contents === 0]).toEqual([contents, true])
  for (const { id } of blobs) expect(await storage.blobs.exists(id)).toBe(true)
}

/** Creates damaged bytes, a stray file and an old staged file for `verify` to find. */
function damage(path: string): void {
  writeFileSync(writable(path), 'changed')
  const store = join(path, '..', '..', '..')
  const hash = sha256(randomBytes(8))
  writeFileSync(join(store, 'objects', hash.slice(0, 2), hash), 'stray')
  const staged = join(store, 'tmp', 'left')
  writeFileSync(staged, 'left')
  utimesSync(staged, 0, 0)
}
