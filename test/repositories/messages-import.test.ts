import { isStorageError, openStorage, type StorageConfig } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { freshDirectory, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

interface Said {
  added: number
  known: number
  mebibytes?: number
}

const program = 'test/repositories/programs/import.ts'
const COUNT = 20_000

describe.each(sharedDatabases)('on %s', (_, configure) => {
  it('import() with ids stores every message once and in order when it is repeated after a kill', async () => {
    const config = { database: await configure() } as StorageConfig
    const script = runScript<Said>(program, [JSON.stringify(config), `${COUNT}`, 'ids'])
    await script.next(({ added }) => added > 3000)
    await script.kill()
    await using storage = await openStorage(config, quiet)
    const killed = Number((await storage.sessions.summary('s0'))?.messageCount)
    expect(killed).toBeGreaterThan(1500)
    expect(killed).toBeLessThan(COUNT / 2)
    const last = (await runScript<Said>(program, [JSON.stringify(config), `${COUNT}`, 'ids']).finished()).at(-1)
    expect(last).toMatchObject({ added: COUNT - 2 * killed, known: 2 * killed })
    for (const first of [0, 1]) {
      const ids: string[] = []
      for await (const { id } of storage.messages.iterate(`s${first}`)) ids.push(id)
      expect(ids).toEqual(Array.from({ length: COUNT / 2 }, (__, i) => `m${2 * i + first}`))
    }
  })

  // The naive variant.
  it('import() without ids stores messages twice when it is repeated', async () => {
    const config = { database: await configure() } as StorageConfig
    for (let i = 0; i < 2; i++) await runScript(program, [JSON.stringify(config), '2000']).finished()
    await using storage = await openStorage(config, quiet)
    expect((await storage.sessions.summary('s0'))?.messageCount).toBe(2000)
  })

  it('close() ends an import() between two batches, also one that waits for a message', async () => {
    const storage = await openStorage({ database: await configure() } as StorageConfig, quiet)
    const line = (i: number) => ({ sessionId: 's', id: `m${i}`, role: 'user', content: 'x' })
    function* endless() {
      for (let i = 0; ; i++) yield line(i)
    }
    async function* silent() {
      yield line(-1)
      await new Promise(() => {})
    }
    let progress = {}
    const imports = [storage.messages.import(silent())]
    const begun = new Promise<void>((resolve) => {
      const onProgress = ({ added, known }: { added: number; known: number }) => {
        progress = { added, known }
        resolve()
      }
      imports.push(storage.messages.import(endless(), { onProgress }))
    })
    const ended = Promise.allSettled(imports)
    await begun
    await storage.close()
    const reasons = (await ended).map((outcome) => outcome.status === 'rejected' && outcome.reason)
    for (const reason of reasons) expect(isStorageError(reason, 'CLOSED')).toBe(true)
    expect(reasons.map(({ details }) => details)).toEqual([{ added: 0, known: 0 }, progress])
  })

  it('import() indexes texts, records mentions of blobs and makes blobs of data', async () => {
    const config = {
      database: { ...(await configure()), options: { search: true } },
      blobStore: { type: 'local', storePath: freshDirectory(), offloadAboveBytes: 100 },
    } as StorageConfig
    await using storage = await openStorage(config, quiet)
    const { id } = await storage.blobs.put(Buffer.from('mentioned'))
    const image = `data:image/png;base64,${Buffer.alloc(300, 7).toString('base64')}`
    const dump = [
      { sessionId: 'a', id: '1', role: 'user', content: `see blob:${id}` },
      { sessionId: 'b', id: '2', role: 'user', content: [{ type: 'image', image }] },
      { sessionId: 'b', id: '3', role: 'user', content: 'A rare zeppelin' },
    ]
    expect(await storage.messages.import(dump)).toEqual({ added: 3, known: 0 })
    expect(await storage.messages.import(dump)).toEqual({ added: 0, known: 3 })
    expect((await storage.messages.search('zeppelin')).items.map(({ message }) => message.id)).toEqual(['3'])
    const stored = JSON.stringify((await storage.messages.get('b', '2'))?.content)
    expect(stored).toMatch(/blob:[0-9a-f]{32}/)
    await expect(storage.blobs.delete(id)).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
    await expect(storage.blobs.delete(`${/blob:[0-9a-f]{32}/.exec(stored)}`)).rejects.toMatchObject({
      code: 'BLOB_IN_USE',
    })
  })
})

it('import() adds at most 100 MiB to the process, however many messages there are', { timeout: 600_000 }, async () => {
  const config = { database: { type: 'sqlite', path: `${freshDirectory()}/agent.db` } }
  const args = [JSON.stringify(config), `${rounds(50_000, 1_000_000)}`, 'ids']
  const last = (await runScript<Said>(program, args, { nodeArgs: ['--expose-gc'] }).finished()).at(-1)
  expect(last?.added).toBe(rounds(50_000, 1_000_000))
  expect(last?.mebibytes).toBeLessThanOrEqual(100)
})
