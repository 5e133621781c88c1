import { EventEmitter, once } from 'node:events'
import { type ArchiveProgress, importInto, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { newDirectory } from './kinds.ts'

it('an import that went on after an erasure begins anew when it is called again', async () => {
  await using source = await openStorage({}, quiet)
  for (const ownerId of ['ada', 'bob']) {
    const { messages, kv, workspaces } = source.scope({ ownerId })
    await messages.append(ownerId, { role: 'user', content: 'hello' })
    await kv.set('theme', 'dark')
    await workspaces.save({ path: `/home/${ownerId}` })
  }
  const directory = newDirectory()
  await source.export(directory)
  const config = { database: { type: 'postgres', url: await freshPostgres() } } as const
  await using target = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const controller = new AbortController()
  const written = new EventEmitter()
  const onProgress = ({ table }: ArchiveProgress) => {
    if (table === 'messages') written.emit('messages')
    if (table === 'kv') controller.abort()
  }
  let importing: Promise<unknown> | undefined
  const undone = other.scope({ ownerId: 'bob' }).transaction(async (tx) => {
    await tx.kv.set('theme', 'light') // the import waits for it
    importing = importInto(target, directory, { signal: controller.signal, onProgress })
    importing.catch(() => {}) // it is awaited below
    await once(written, 'messages')
    await target.erase({ ownerId: 'ada' })
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  await expect(importing).rejects.toMatchObject({ code: 'ABORTED' })
  expect(await target.messages.latest('ada', 1)).toEqual([])
  expect(await importInto(target, directory)).toMatchObject({ resumed: false, refused: 0 })
  expect(await target.scope({ ownerId: 'ada' }).messages.latest('ada', 1)).toHaveLength(1)
  expect(await importInto(target, directory)).toMatchObject({ inserted: 0, refused: 0 })
})
