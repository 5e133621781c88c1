import { randomUUID } from 'node:crypto'
import { link, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError } from './errors.ts'
import { syncDirectory, undefinedOn } from './files.ts'

const FILE = 'store-id'

/** Returns the random id that a local store keeps in a file of its own, or undefined if it has none yet. */
export async function readStoreId(storePath: string): Promise<string | undefined> {
  try {
    const text = await readFile(join(storePath, FILE), 'utf8').catch(undefinedOn('ENOENT'))
    return text?.trim()
  } catch (error) {
    throw fileError(error, 'store-id')
  }
}

/** Gives a store its id, durably. If another process was faster, returns the id that the other process gave it. */
export async function createStoreId(storePath: string): Promise<string> {
  const id = randomUUID()
  const draft = join(storePath, `tmp/${id}`)
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(`${id}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link appears with its whole content, or fails if there is a file already.
    await link(draft, join(storePath, FILE)).catch(undefinedOn('EEXIST'))
    await syncDirectory(storePath)
    return (await readStoreId(storePath)) ?? id
  } catch (error) {
    throw fileError(error, 'store-id')
  } finally {
    await unlink(draft).catch(() => {}) // it is swept later
  }
}
