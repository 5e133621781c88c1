import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage, type StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { dialects, freshDatabase } from '../database/dialects.ts'
import { ownMigrations } from '../database/histories.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const DAY = 86_400_000
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const id = (digit: number) => String(digit).repeat(32)

/** Contents as the version before generations had them. `aside` was about to be removed when a process was killed. */
const TEXTS = { kept: 'kept', damaged: 'damaged', deleted: 'deleted', aside: 'aside', pending: 'pending' }

function write(storePath: string): void {
  for (const folder of ['objects', 'tmp', 'quarantine', 'aside'])
    mkdirSync(join(storePath, folder), { recursive: true })
  for (const [name, text] of Object.entries(TEXTS)) {
    const hash = sha256(text)
    mkdirSync(join(storePath, 'objects', hash.slice(0, 2)), { recursive: true })
    const object = join(storePath, 'objects', hash.slice(0, 2), hash)
    const aside = join(storePath, 'aside', `${hash}.12345678-1234-4123-8123-123456789abc`)
    writeFileSync(name === 'aside' ? aside : object, name === 'damaged' ? 'dAmaged' : text)
  }
  writeFileSync(join(storePath, 'store-id'), 'a-store\na-database\n')
}

it.each(dialects)(
  'a store and a database of %s without generations are read, healed, deleted from and collected',
  async (dialect) => {
    const database = await freshDatabase(dialect)
    const migrations = ownMigrations(dialect)
    const before = migrations.findIndex(({ sql }) => sql.some((text) => text.includes('blob_removals')))
    const older = migrations.slice(0, before)
    await database.migrate(older)
    const at = dialect === 'sqlite' ? String(Date.now()) : 'now()'
    const contents = Object.values(TEXTS).map((text) => {
      return `('${sha256(text)}', ${text.length}, '${text === 'pending' ? 'pending' : 'live'}')`
    })
    const records = [TEXTS.kept, TEXTS.damaged, TEXTS.deleted, TEXTS.aside].map((text, i) => {
      return `('${id(i)}', '${sha256(text)}', 'text/plain', '{}', ${at}, ${at})`
    })
    const size = Object.values(TEXTS).join('').length
    for (const sql of [
      `insert into blob_content (hash, size, state) values ${contents.join()}`,
      `insert into blobs (id, hash, mime_type, metadata, created_at, last_used_at) values ${records.join()}`,
      `insert into blob_leases (id, hash, expires_at) values ('l', '${sha256('pending')}', ${dialect === 'sqlite' ? '0' : "'1970-01-01'"})`,
      `insert into properties (name, value) values ('id', 'a-database'), ('blob-store', 'a-store')`,
      `update blob_usage set used = case id when 1 then ${size} when 2 then 5 else 4 end`,
    ]) {
      await database.query(sql)
    }
    const storePath = join(freshDirectory(), 'blobs')
    write(storePath)

    const connection = dialect === 'sqlite' ? { path: database.location } : { url: database.location }
    const config = {
      database: { type: dialect, ...connection },
      blobStore: { type: 'local', storePath },
    } as StorageConfig // one of the two
    await using storage = await openStorage(config, quiet)
    const { blobs } = storage
    expect(await blobs.text(id(0))).toBe('kept')
    expect(await blobs.path(id(0))).toBe(join(storePath, 'objects', sha256('kept').slice(0, 2), sha256('kept')))
    expect(await blobs.text(id(3))).toBe('aside')
    expect(readdirSync(storePath)).not.toContain('aside')
    const same = await blobs.put(Buffer.from('kept'))
    expect(await blobs.path(same.id)).toBe(await blobs.path(id(0)))
    await expect(blobs.text(id(1))).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    await blobs.put(Buffer.from('damaged'))
    expect(await blobs.text(id(1))).toBe('damaged')
    expect(await blobs.path(id(1))).toMatch(/\.[0-9a-f]{16}$/)
    await blobs.delete(id(2))
    await storage.maintain()
    await using later = await openStorage(config, { ...quiet, now: () => new Date(Date.now() + 2 * DAY) })
    await later.maintain()
    expect(await later.blobs.verify()).toMatchObject({ ok: true })
    expect(await later.blobs.stats()).toMatchObject({ count: 5, contents: 3, bytes: size - 'deletedpending'.length })

    await expect(database.migrate(older)).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' })
  },
  60_000,
)

/** Returns two stores with a mark, by what opens them and what overwrites the mark. */
const marked = {
  'in files': async () => {
    const storePath = join(freshDirectory(), 'blobs')
    const write = (mark: string) => writeFileSync(join(storePath, 'store-id'), mark)
    return {
      blobStore: { type: 'local', storePath } as const,
      write,
      read: () => readFileSync(join(storePath, 'store-id'), 'utf8'),
    }
  },
  'in a bucket': async () => {
    const { config, objects, close } = await startS3Server()
    onTestFinished(close)
    const write = (mark: string) => objects.set('store-id', { bytes: Buffer.from(mark), storedAt: new Date() })
    return { blobStore: config, write, read: () => String(objects.get('store-id')?.bytes) }
  },
}

describe.each(Object.entries(marked))('the mark of a store %s', (_, start) => {
  it('has the format, and a mark of a later format is refused by name, even with adoptBlobStore', async () => {
    const { blobStore, write, read } = await start()
    const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
    const open = (options = {}) => openStorage({ database, blobStore }, { ...quiet, ...options })
    await (await open()).close()
    const [store, id, format, ...rest] = read().split('\n')
    expect([format, ...rest]).toEqual(['2', ''])
    for (const later of ['3', '10', '3-beta']) {
      write(`${store}\n${id}\n${later}\nwhat this version does not know\n`)
      const before = read()
      for (const options of [{}, { adoptBlobStore: true }]) {
        await expect(open(options)).rejects.toMatchObject({
          code: 'BLOB_STORE_MISMATCH',
          message: expect.stringContaining('A newer version of Holdfast'),
        })
      }
      expect(read()).toBe(before)
    }
  })

  it('of an earlier format, without a line for it, is read', async () => {
    const { blobStore, write, read } = await start()
    const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
    const open = () => openStorage({ database, blobStore }, quiet)
    await (await open()).close()
    write(read().split('\n').slice(0, 2).join('\n'))
    await (await open()).close()
  })
})
