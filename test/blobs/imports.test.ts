import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { expect, it, onTestFinished } from 'vitest'
import { endImport, importContent } from '../../src/blobs/protocol/import.ts'
import { layersOf } from '../../src/storage/layers.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { list } from './fixture.ts'
import { openLayer } from './layer.ts'

it('an import that stores a content after the end of another of the same archive leaves no second object', async () => {
  const directory = freshDirectory()
  const storePath = join(directory, 'blobs')
  const database = { type: 'sqlite', path: join(directory, 'agent.db') } as const
  await using storage = await openStorage({ database, blobStore: { type: 'local', storePath } }, quiet)
  const { db, store } = layersOf(storage, 'storage').blobs
  const bytes = Buffer.from('content')
  const hash = createHash('sha256').update(bytes).digest('hex')
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  let late: Promise<boolean> | undefined
  await new Promise<void>((resolve) => {
    const origin = async function* () {
      resolve()
      await gate
      yield bytes
    }
    late = importContent(db, store, { hash, size: bytes.length }, origin, 'archive:a:2')
  })
  await storage.blobs.put(bytes) // the record, as the other import has stored it
  await endImport(db, store, 'archive:a:1', 'archive:a')
  release()
  expect(await late).toBe(false)
  await endImport(db, store, 'archive:a:2', 'archive:a')
  const objects = () =>
    readdirSync(storePath, { recursive: true })
      .map(String)
      .filter((name) => name.includes(hash.slice(4)))
  expect(objects()).toHaveLength(1)
})

it('an import that fails after the bytes were moved into place leaves no object', async () => {
  const directory = freshDirectory()
  let isFull = true
  const layer = await openLayer(
    {
      database: { type: 'sqlite', path: join(directory, 'agent.db') },
      blobStore: { type: 'local', storePath: join(directory, 'blobs') },
    },
    {
      onFileStep: (step) => {
        if (isFull && step === 'commit.sync') throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      },
    },
  )
  onTestFinished(() => layer.close())
  const { db, store } = layer.rows
  const bytes = Buffer.from('content')
  const content = { hash: createHash('sha256').update(bytes).digest('hex'), size: bytes.length }
  const importTo = (batch: string) =>
    importContent(
      db,
      store,
      content,
      async function* () {
        yield bytes
      },
      batch,
    )
  await expect(importTo('archive:a:1')).rejects.toMatchObject({ code: 'DISK_FULL' })
  expect(await list(layer.bytes)).toEqual([])

  isFull = false
  expect(await importTo('archive:a:2')).toBe(true)
  expect(await list(layer.bytes)).toMatchObject([content])
})
