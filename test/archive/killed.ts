import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { digests, fill } from './filled.ts'
import { kinds, newDirectory } from './kinds.ts'

interface Said {
  table?: string
  rows?: number
  report?: { resumed: boolean; inserted: number; unchanged: number; refused: number; equal?: boolean }
}

const KILLS = 3

/**
 * Defines tests in which a program that imports or copies is killed ten times, five times on each database, and ends with the
 * same rows.
 */
export function killedTests(what: 'import' | 'copy'): void {
  for (const kind of ['sqlite', 'postgres'] as const) {
    it(`${what} into ${kind} is killed ${KILLS} times, goes on, and ends with the same rows`, {
      timeout: 120_000,
    }, async () => {
      const path = join(freshDirectory(), 'source.db')
      const from: StorageConfig = {
        database: { type: 'sqlite', path },
        blobStore: { type: 'local', storePath: join(freshDirectory(), 'blobs') },
      }
      await using source = await openStorage(from, quiet)
      await fill(source, 'nobody', 10)
      for (let i = 0; i < 14; i++) {
        const message = (j: number) => ({ role: 'user', content: `message ${j} of ${i}` })
        await source.messages.append(
          `s${i}`,
          Array.from({ length: 1000 }, (_, j) => message(j)),
        )
      }
      const directory = newDirectory()
      if (what === 'import') await source.export(directory)
      const configuration = await kinds[kind]()
      const args = [what, what === 'import' ? directory : JSON.stringify(from), JSON.stringify(configuration)]

      const reached: number[] = []
      for (let kill = 1; kill <= KILLS; kill++) {
        const program = runScript<Said>('test/archive/programs/receive.ts', args)
        // Each life is at least one batch long; the last is killed among the tables after the messages.
        const said = await program.next(({ table }) => (kill < KILLS ? table === 'messages' : table === 'kv'))
        await sleep(Math.random() * 8)
        await program.kill()
        reached.push(said.rows ?? 0)
      }
      expect(reached.slice(0, -1)).toEqual([...reached.slice(0, -1)].sort((a, b) => a - b))
      const [last] = (await runScript<Said>('test/archive/programs/receive.ts', args).finished()).slice(-1)
      expect(last?.report).toMatchObject({ resumed: true, refused: 0, ...(what === 'copy' && { equal: true }) })
      await using target = await openStorage(configuration, quiet)
      expect(await digests(target)).toEqual(await digests(source))
      expect(await target.blobs.verify()).toMatchObject({ ok: true })
      expect(await target.blobs.stats()).toMatchObject({ count: 3, contents: 3 })
    })
  }
}
