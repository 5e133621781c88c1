import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BlobVerification, openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { firstOf, sha256, writable } from './fixture.ts'
import { openLayer } from './layer.ts'

const found = ({ steps }: BlobVerification) =>
  Object.fromEntries(steps.filter((step) => step.found > 0).map((step) => [step.step, step.items]))

interface Databases {
  writable: StorageConfig['database']
  /** Makes the same database one that accepts no writes. */
  readOnly(): Promise<StorageConfig['database']>
}

const databases: Record<string, () => Promise<Databases>> = {
  SQLite: async () => {
    const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
    return { writable: database, readOnly: async () => ({ ...database, options: { readonly: true } }) }
  },
  PostgreSQL: async () => {
    const url = await freshPostgres()
    const readOnly = async () => {
      const sql = postgres(url, { max: 1 })
      await sql.unsafe(`alter database "${new URL(url).pathname.slice(1)}" set default_transaction_read_only = on`)
      await sql.end()
      return { type: 'postgres', url } as const
    }
    return { writable: { type: 'postgres', url }, readOnly }
  },
}

describe.each(Object.entries(databases))('verify() without repair, on %s', (_, make) => {
  test('finds what is wrong in a database that accepts no writes', async () => {
    const { writable: database, readOnly } = await make()
    const blobStore = { type: 'local', storePath: join(freshDirectory(), 'blobs') } as const
    const stray = sha256(Buffer.from('stray'))
    const layer = await openLayer({ database, blobStore })
    await layer.blobs.put(randomBytes(1000))
    const lost = await layer.blobs.put(randomBytes(1000))
    rmSync(writable(String(await layer.blobs.path(lost.id))))
    writeFileSync(String(layer.bytes.path(firstOf(stray))), 'stray')
    await layer.close()

    await using storage = await openStorage({ database: await readOnly(), blobStore }, quiet)
    const { steps } = await storage.blobs.verify()
    expect(found({ ok: false, steps })).toEqual({ missing: [lost.hash], strays: [stray] })
    const findings = await storage.diagnose()
    expect(findings.find(({ check }) => check === 'blobs-strays')?.message).toContain('1 of')
    await expect(storage.blobs.verify({ repair: true })).rejects.toMatchObject({ code: 'READ_ONLY' })
  })

  test('ends no reservation', async () => {
    const { writable: database } = await make()
    const blobStore = { type: 'local', storePath: join(freshDirectory(), 'blobs') } as const
    const layer = await openLayer({ database, blobStore })
    const stray = sha256(Buffer.from('stray'))
    writeFileSync(String(layer.bytes.path(firstOf(stray))), 'stray')
    const { blobLeases: l } = layer.database.tables
    await layer.database.orm.insert(l).values({ id: 'expired', hash: stray, expiresAt: new Date(0) })
    expect(found(await layer.blobs.verify())).toEqual({ strays: [stray] })
    expect(await layer.database.orm.select({ id: l.id }).from(l)).toEqual([{ id: 'expired' }])
    await layer.close()
  })
})
