import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { beforeAll, expect, it } from 'vitest'
import { freshDirectory, freshPostgres, sharedDatabases } from '../setup/databases.ts'
import { clockAhead, holdfast, interrupted, objects, onTerminal } from './command-line.ts'

/** Opens a storage that keeps events for a day, beside its configuration file. */
async function prepared(database: StorageConfig['database']): Promise<{ cwd: string; storage: Storage }> {
  const cwd = freshDirectory()
  const storage: StorageConfig = {
    database,
    blobStore: { type: 'local', storePath: './blobs' },
    retention: { events: '1d' },
  }
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage }))
  return { cwd, storage: await openStorage(storage, { baseDir: cwd, maintenance: false }) }
}

it.each(sharedDatabases)('on %s, sessions rm, erase, prune and blobs gc remove what they say', async (_, configure) => {
  const { cwd, storage } = await prepared(await configure())
  for (const id of ['a', 'b']) await storage.messages.append(id, { role: 'user', content: id })
  await storage.scope({ ownerId: 'ada' }).kv.set('theme', 'dark')
  await storage.scope({ ownerId: 'ada' }).blobs.put(Buffer.from('hers'))
  await storage.blobs.put(Buffer.from('unused'), { expiresAt: new Date(Date.now() + 1) })
  const old = new Date(Date.now() - 172_800_000)
  await storage.events.append([{ type: 'old', occurredAt: old }, { type: 'new' }])
  await storage.close()

  expect(await objects(['sessions', 'rm', 'a', '--yes'], { cwd })).toEqual([{ deleted: 1 }])
  const again = await holdfast(['sessions', 'rm', 'a', '--yes'], { cwd })
  expect(again).toMatchObject({ code: 3, stdout: '0 sessions deleted\n', stderr: 'There is no session a.\n' })

  expect(await objects(['erase', '--owner', 'ada', '--dry-run'], { cwd })).toMatchObject([{ total: 2, dryRun: true }])
  expect((await holdfast(['erase', '--owner', 'ada', '--yes'], { cwd })).stdout).toBe('2 rows removed: blobs 1, kv 1\n')
  const nothing = await holdfast(['erase', '--owner', 'ada'], { cwd }) // there is nothing to ask about
  expect(nothing).toMatchObject({ code: 0, stdout: 'nothing removed\n' })

  expect(await objects(['prune', '--dry-run'], { cwd })).toMatchObject([{ total: 1 }])
  expect((await holdfast(['prune', '--yes'], { cwd })).stdout).toBe('1 row removed: events 1\n')

  expect(await objects(['blobs', 'gc', '--dry-run'], { cwd })).toEqual([{ removed: 1, bytes: 6, dryRun: true }])
  const gc = await holdfast(['blobs', 'gc', '--yes'], { cwd })
  expect(gc.stdout).toBe('1 blob, 6 bytes removed\n')
  expect(await objects(['blobs', 'gc', '--yes'], { cwd })).toEqual([{ removed: 0, bytes: 0, dryRun: false }])
  expect((await objects(['stats'], { cwd }))[0]).toMatchObject({
    database: { rows: { sessions: 1, kv: 0, events: 1, blobs: 0 } },
  })
})

it('an age counts back from the time of PostgreSQL when the clock of the command is ahead', async () => {
  const { cwd, storage } = await prepared({ type: 'postgres', url: await freshPostgres() })
  await storage.blobs.put(Buffer.from('just used'))
  await storage.close()
  const options = { cwd, env: clockAhead(3_600_000) }
  const collect = (age: string) => objects(['blobs', 'gc', '--older-than', age, '--yes'], options)
  expect(await collect('30m')).toMatchObject([{ removed: 0 }])
  expect(await objects(['export', 'archive', '--since', '30m'], options)).toMatchObject([{ tables: { blobs: 1 } }])
  expect(await collect('0m')).toMatchObject([{ removed: 1 }])
})

it('a command that removes something asks on a terminal, and refuses if nobody can be asked', async () => {
  const { cwd, storage } = await prepared({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') })
  await storage.sessions.create({ id: 'chat' })
  await storage.close()
  const silent = await holdfast(['sessions', 'rm', 'chat'], { cwd })
  expect(silent).toMatchObject({ code: 2, stderr: expect.stringContaining('Give --yes if so') })
  const no = await onTerminal(['sessions', 'rm', 'chat'], { cwd, input: 'n\n' })
  expect(no).toMatchObject({ code: 5, shown: expect.stringContaining('nothing was done') })
  const interrupted = await onTerminal(['sessions', 'rm', 'chat'], { cwd, input: '\u0003' }) // Ctrl-C
  expect(interrupted).toMatchObject({ code: 130, shown: expect.not.stringContaining('Error') })
  const ended = await onTerminal(['sessions', 'rm', 'chat'], { cwd, input: '\u0004' }) // Ctrl-D
  expect(ended).toMatchObject({ code: 5, shown: expect.not.stringContaining('Error') })
  const yes = await onTerminal(['sessions', 'rm', 'chat'], { cwd, input: 'y\n' })
  expect(yes).toMatchObject({ code: 0, shown: expect.stringContaining('Delete the session chat? [y/N]') })
  expect(yes.shown).toContain('1 session deleted')
})

/** Fills a storage with what takes some time to remove or to read, and closes it. */
async function filled(storage: Storage, { events, blobs }: { events: number; blobs: number }): Promise<void> {
  const ada = storage.scope({ ownerId: 'ada' })
  const old = new Date(Date.now() - 172_800_000)
  for (let done = 0; done < events; done += 1000) {
    await ada.events.append(Array.from({ length: 1000 }, () => ({ type: 'old', occurredAt: old })))
  }
  const bytes = Buffer.alloc(1024 * 1024)
  for (let i = 0; i < blobs; i++) {
    bytes.writeUInt32LE(i)
    await storage.blobs.put(bytes)
  }
  await storage.close()
}

let full = ''
beforeAll(async () => {
  const { cwd, storage } = await prepared({ type: 'sqlite', path: './agent.db' })
  await filled(storage, { events: 40_000, blobs: 60 })
  full = cwd
})

it.each([
  ['erase', '--owner', 'ada', '--yes'],
  ['prune', '--yes'],
  ['blobs', 'verify'],
  ['blobs', 'gc', '--older-than', '2100-01-01', '--yes'],
  ['doctor'],
])('SIGINT ends %s %s after the batch with 130, and what was done stays', async (...args) => {
  const cwd = freshDirectory()
  cpSync(full, cwd, { recursive: true })
  const log = join(cwd, 'agent.db-wal') // is there while the file is open
  const { code, stderr } = await interrupted(args, cwd, () => existsSync(log))
  expect(code).toBe(130)
  expect(stderr).toContain('Interrupted: what was done until now stays.')
  expect(await objects(['blobs', 'verify'], { cwd })).toMatchObject([{ ok: true }])
})

it('on a terminal the progress is one line that is rewritten, with a rate', async () => {
  const { cwd, storage } = await prepared({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') })
  await filled(storage, { events: 5000, blobs: 0 })
  const { shown, code } = await onTerminal(['prune', '--yes'], { cwd })
  expect(code).toBe(0)
  expect(shown).toContain('\r\u001b[Kevents: ')
  expect(shown).toMatch(/events: [\d,]+ rows · [\d,]+\/s/)
  expect(shown).toContain('\r\u001b[K5,000 rows removed')
  const quiet = await onTerminal(['prune', '--yes', '--quiet'], { cwd })
  expect(quiet.shown).not.toContain('\u001b[K')
})

it('prune ends with 0 and does not ask when the configuration has no retention', async () => {
  const cwd = freshDirectory()
  await holdfast(['migrate', '--database', 'a.db'], { cwd })
  // It removes nothing, so it needs no right to write.
  const database = { type: 'sqlite', path: './a.db', options: { readonly: true } }
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: { database } }))
  const { code, stdout, stderr } = await holdfast(['prune'], { cwd })
  expect(stderr).toContain('The configuration has no retention')
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'nothing removed\n' })
})
