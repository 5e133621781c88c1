import { randomUUID } from 'node:crypto'
import { link, open, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError } from '../../errors.ts'
import { fileError } from './errors.ts'
import { syncDirectory, undefinedOn } from './files.ts'

const FILE = 'store-id'

/** The version of the format of a store. The mark of the first version has no line for it, nor had that of a bucket at first. */
const FORMAT = 2

/** What a store says about itself. */
export interface StoreMark {
  /** The random id of the store. */
  store: string
  /** The random id of the database to which the store belongs. Undefined if an earlier version wrote the file. */
  database: string | undefined
}

/** Reads and writes the mark of one store. */
export interface StoreMarks {
  /** The store as errors name it: its directory, or its bucket and folder. */
  readonly place: string
  /** The settings that say where the store is, as errors name them. */
  readonly setting: string
  /**
   * Returns the mark, or undefined if the store has none yet.
   *
   * @throws {BLOB_STORE_MISMATCH} when a newer version has written the mark
   */
  read(): Promise<StoreMark | undefined>
  /** Gives the store its mark, durably. Returns the mark that the store has then: another process may have been faster. */
  create(mark: StoreMark): Promise<StoreMark>
  /** Gives the store another mark, durably. */
  replace(mark: StoreMark): Promise<void>
}

/** Returns the text of a mark, wherever it is kept: an id in each of two lines, and the version of the format. */
export const markText = ({ store, database = '' }: StoreMark): string => `${store}\n${database}\n${FORMAT}\n`

/**
 * Reads the text of a mark. Returns undefined if there is none. `place` is the store as errors name it.
 *
 * @throws {BLOB_STORE_MISMATCH} when a newer version has written the mark
 */
export function parseMark(text: string | undefined, place: string): StoreMark | undefined {
  const [store, database, format] = text?.split('\n') ?? []
  const isKnown = Number(format || '1') <= FORMAT // false for what is no number
  if (!isKnown) throw newerStore(place)
  return store === undefined || store === '' ? undefined : { store, database: database || undefined }
}

/** Returns the marks of a local store, which has a file for it. */
export const localMarks = (storePath: string): StoreMarks => ({
  place: storePath,
  setting: 'blobStore.storePath',
  read: () => readStoreMark(storePath),
  create: (mark) => createStoreMark(storePath, mark),
  replace: (mark) => write(storePath, mark, rename),
})

async function readStoreMark(storePath: string): Promise<StoreMark | undefined> {
  try {
    const text = await readFile(join(storePath, FILE), 'utf8').catch(undefinedOn('ENOENT'))
    return parseMark(text, storePath)
  } catch (error) {
    throw fileError(error, 'store-id')
  }
}

async function createStoreMark(storePath: string, mark: StoreMark): Promise<StoreMark> {
  // A link appears with its whole content, or fails if there is a file already.
  await write(storePath, mark, (draft, file) => link(draft, file).catch(undefinedOn('EEXIST')))
  return (await readStoreMark(storePath)) ?? mark
}

async function write(
  storePath: string,
  mark: StoreMark,
  place: (draft: string, file: string) => Promise<void>,
): Promise<void> {
  const draft = join(storePath, `tmp/${randomUUID()}`)
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(markText(mark))
      await file.sync()
    } finally {
      await file.close()
    }
    await place(draft, join(storePath, FILE))
    await syncDirectory(storePath)
  } catch (error) {
    throw fileError(error, 'store-id')
  } finally {
    await unlink(draft).catch(() => {}) // it is swept later
  }
}

function newerStore(place: string): StorageError {
  const message = `A newer version of Holdfast has written the blob store ${place}: use that version`
  return new StorageError('BLOB_STORE_MISMATCH', message, { details: { storePath: place } })
}
