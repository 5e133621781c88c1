import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { emptyDatabases, freshDirectory, sharedDatabases } from '../setup/databases.ts'
import { holdfast, objects, onTerminal, start } from './command-line.ts'

/** Writes a configuration file beside a local blob store, and opens its storage. */
async function prepared(database: StorageConfig['database']) {
  const cwd = freshDirectory()
  const storage = {
    database: { ...database, options: { search: true } },
    blobStore: { type: 'local', storePath: './blobs' },
  } as StorageConfig // the spread loses which database it is
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage }))
  const opened = await openStorage(storage, { baseDir: cwd, maintenance: false })
  return { cwd, storage: opened }
}

it.each(emptyDatabases)('on %s, migrate, status and migrate status say what is pending', async (_, configure) => {
  const cwd = freshDirectory()
  const database = await configure()
  const place =
    database?.type === 'sqlite'
      ? database.path
      : new URL(String(database?.type === 'postgres' && database.url)).pathname
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: { database } }))
  const before = await holdfast(['migrate', 'status'], { cwd })
  expect(before).toMatchObject({ code: 3, stdout: expect.stringContaining('pending: run holdfast migrate') })
  const status = await holdfast(['status'], { cwd })
  expect(status).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(/^database .*(PostgreSQL|does not exist yet)/m),
  })
  expect(status.stdout).toContain(place)
  const dry = await holdfast(['migrate', '--dry-run'], { cwd })
  expect(dry).toMatchObject({ code: 3, stdout: expect.stringContaining('CREATE TABLE') })
  expect(await holdfast(['migrate', 'status'], { cwd })).toMatchObject({ code: 3 }) // the dry run changed nothing
  expect((await holdfast(['migrate'], { cwd })).stdout).toMatch(/^\d+ migrations applied\n$/)
  expect((await holdfast(['migrate'], { cwd })).stdout).toMatch(/^the schema is up to date \(\d+ migrations\)\n$/)
  expect(await holdfast(['migrate', '--dry-run'], { cwd })).toMatchObject({ code: 0 })
  expect(await objects(['migrate', 'status'], { cwd })).toMatchObject([{ migrations: [] }])
})

it.each(sharedDatabases)('on %s, the commands that look show what there is', async (_, configure) => {
  const { cwd, storage } = await prepared(await configure())
  await storage.sessions.create({ id: 'trip', title: 'A trip\nto Oslo', ownerId: 'ada' })
  const ada = storage.scope({ ownerId: 'ada' })
  await ada.messages.append('trip', [
    { role: 'user', content: 'Find me a train to Oslo' },
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 'There is one.' },
        { type: 'tool-call', name: 'book' },
      ],
    },
    { role: 'tool', content: '\u001b[2J\u202eevil' },
  ])
  await storage.memories.create({ content: 'Prefers trains' })
  const blob = await storage.blobs.put(Buffer.from('bytes'), { name: 'a.txt' })
  await storage.close()

  const status = await holdfast(['status'], { cwd })
  expect(status.stdout).toMatch(/^configuration {2}agent\.yml\ndatabase .*(SQLite|PostgreSQL) \d/)
  expect(status.stdout).toContain('1 blob, 5 bytes of')
  expect(status.stdout).toContain('memories 1, ')
  expect(status.stdout).toContain('messages 3, ')
  const [stats] = await objects(['stats'], { cwd })
  expect(stats).toMatchObject({ database: { rows: { messages: 3 } }, blobs: { count: 1 }, search: { pending: 0 } })

  const list = await holdfast(['sessions', 'ls'], { cwd })
  expect(list.stdout).toMatch(/3 messages {2}trip {2}ada {2}A trip to Oslo\n$/)
  expect(await objects(['sessions', 'ls', '--owner', 'bob'], { cwd })).toEqual([])
  const shown = await holdfast(['sessions', 'show', 'trip', '--owner', 'ada'], { cwd })
  expect(shown.stdout).toContain('user #1 ')
  expect(shown.stdout).toContain('There is one.\n{"type":"tool-call","name":"book"}')
  expect(shown.stdout).toContain('\\u{1b}[2J\\u{202e}evil') // it could clear the screen, and turn the line
  const last = await objects(['sessions', 'show', 'trip', '--last', '2', '--owner', 'ada'], { cwd })
  expect(last.map(({ seq }) => seq)).toEqual([2, 3])

  const found = await holdfast(['search', 'train', '--owner', 'ada'], { cwd })
  expect(found.stdout).toMatch(/^trip #1 .*\nFind me a train to Oslo\n/)
  expect(await objects(['search', 'trains', '--in', 'memories'], { cwd })).toHaveLength(1)
  expect(await objects(['search', 'oslo', '--in', 'sessions'], { cwd })).toHaveLength(1)

  expect((await holdfast(['blobs', 'ls'], { cwd })).stdout).toContain(`5 bytes  ${blob.id}  text/plain  a.txt`)
  expect((await holdfast(['blobs', 'get', blob.uri], { cwd })).stdout).toBe('bytes')
  await holdfast(['blobs', 'get', blob.id, 'copy.txt'], { cwd })
  expect(readFileSync(join(cwd, 'copy.txt'), 'utf8')).toBe('bytes')
  expect(await holdfast(['blobs', 'get', blob.id, 'copy.txt'], { cwd })).toMatchObject({ code: 5 })
  writeFileSync(join(cwd, 'other.txt.part'), 'of somebody else')
  expect(await holdfast(['blobs', 'get', blob.id, 'other.txt'], { cwd })).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('other.txt.part exists'),
  })
  expect(readFileSync(join(cwd, 'other.txt.part'), 'utf8')).toBe('of somebody else')
  expect(await holdfast(['blobs', 'get', blob.id, 'none/file'], { cwd })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('none/file.part cannot be written (ENOENT)'),
  })
  expect(await objects(['blobs', 'get', blob.id, 'json.txt'], { cwd })).toEqual([{ file: 'json.txt', bytes: 5 }])
  expect(await objects(['blobs', 'ls'], { cwd })).toMatchObject([{ id: blob.id, size: 5 }])
  expect(await holdfast(['blobs', 'get', blob.id, '--json'], { cwd })).toMatchObject({ code: 2, stdout: '' })
  expect(await holdfast(['blobs', 'put', 'none.txt'], { cwd })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('none.txt cannot be read (ENOENT)'),
  })
  const put = await holdfast(['blobs', 'put', '--name', 'b.txt'], { cwd, input: 'more' })
  expect((await holdfast(['blobs', 'get', put.stdout.trim()], { cwd })).stdout).toBe('more')
  expect(await objects(['blobs', 'put', 'copy.txt'], { cwd })).toMatchObject([{ name: 'copy.txt', size: 5 }])
  expect(await objects(['blobs', 'verify'], { cwd })).toMatchObject([{ ok: true }])
})

it.each(sharedDatabases)('on %s, tail prints the last events once each, and follows', async (_, configure) => {
  const { cwd, storage } = await prepared(await configure())
  await storage.events.append([1, 2, 3, 4].map((payload) => ({ type: 'step', payload })))
  const child = start(['tail', '--last', '2', '--json'], { cwd })
  const seen: unknown[] = []
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => seen.push(JSON.parse(line).payload))
  while (seen.length < 2) await once(lines, 'line')
  await storage.events.append({ type: 'step', payload: 5 })
  while (seen.length < 3) await once(lines, 'line')
  child.kill('SIGINT')
  expect(await once(child, 'close')).toEqual([130, null])
  expect(seen).toEqual([3, 4, 5])
  expect(await objects(['tail', '--last', '3', '--once'], { cwd })).toMatchObject([
    { payload: 3 },
    { payload: 4 },
    { payload: 5 },
  ])
  await storage.close()
})

it('--database leaves the search as the programs have it, and asks for the blob store', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const { cwd, storage } = await prepared({ type: 'sqlite', path })
  await storage.messages.append('chat', { role: 'user', content: 'hello' })
  await storage.close()
  const found = await objects(['search', 'hello', '--database', path], { cwd })
  expect(found).toHaveLength(1)
  const reopened = await openStorage({ database: { type: 'sqlite', path, options: { search: true } } })
  expect(await reopened.stats()).toMatchObject({ search: { pending: 0 } }) // a command without the search would have begun anew
  await reopened.close()
  const refused = await holdfast(['erase', '--owner', 'ada', '--yes', '--database', path], { cwd })
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--blobs DIR') })
  const blobs = join(cwd, 'blobs')
  expect(
    await objects(['erase', '--owner', 'ada', '--yes', '--database', path, '--blobs', blobs], { cwd }),
  ).toMatchObject([{ total: 0 }])
})

it('--blobs makes no store for a command that only looks', async () => {
  const cwd = freshDirectory()
  const given = ['--database', 'agent.db', '--blobs', 'blobs']
  await holdfast(['migrate', '--database', 'agent.db'], { cwd })
  for (const words of [['blobs', 'ls'], ['blobs', 'gc', '--yes'], ['status'], ['export', 'copy']]) {
    const refused = await holdfast([...words, ...given], { cwd })
    expect(refused).toMatchObject({ code: 2, stderr: 'holdfast: there is no blob store in blobs: correct --blobs\n' })
    expect(existsSync(join(cwd, 'blobs'))).toBe(false)
  }
  writeFileSync(join(cwd, 'a.txt'), 'bytes')
  expect(await holdfast(['blobs', 'put', 'a.txt', ...given], { cwd })).toMatchObject({ code: 0 })
  for (const url of [pathToFileURL(join(cwd, 'blobs')).href, 'file:blobs']) {
    expect(await objects(['blobs', 'ls', '--database', 'agent.db', '--blobs', url], { cwd })).toHaveLength(1)
  }
})

it('on a terminal, output is coloured unless NO_COLOR is set, and a conversation goes through the pager', async () => {
  const { cwd, storage } = await prepared({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') })
  await storage.messages.append('chat', { role: 'user', content: 'hello' })
  await storage.close()
  expect((await onTerminal(['sessions', 'show', 'chat'], { cwd })).shown).toContain('\u001b[1muser\u001b[22m')
  expect((await onTerminal(['sessions', 'show', 'chat'], { cwd, env: { NO_COLOR: '1' } })).shown).not.toContain(
    '\u001b[',
  )
  const paged = await onTerminal(['sessions', 'show', 'chat'], { cwd, env: { PAGER: 'tr a-z A-Z', NO_COLOR: '1' } })
  expect(paged.shown).toContain('HELLO')
  expect(paged.code).toBe(0)
  const missing = await onTerminal(['sessions', 'show', 'chat'], { cwd, env: { PAGER: 'no-such-pager -R' } })
  expect(missing.shown).toContain('The pager no-such-pager -R is not installed')
  expect(missing.shown).toContain('\u001b[1muser\u001b[22m')
  const left = await onTerminal(['sessions', 'show', 'chat'], { cwd, env: { PAGER: 'true' } }) // leaves at once
  expect(left.code).toBe(0)
})
