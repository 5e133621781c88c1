import { randomBytes } from 'node:crypto'
import { StorageError } from '../errors.ts'

const ID = '[0-9a-f]{32}'
const REFERENCE = new RegExp(`^(?:blob:)?(${ID})$`)
const URI = new RegExp(`^blob:(${ID})$`)
const MENTION = new RegExp(`blob:(${ID})`, 'g')

/** Returns a new blob id: 128 random bits as 32 lower-case hexadecimal digits. */
export const newBlobId = () => randomBytes(16).toString('hex')

export const blobUri = (id: string) => `blob:${id}`

/** Returns the id in `blob:<id>`, or undefined if the text is anything else. */
export const idOfUri = (text: string) => URI.exec(text)?.[1]

/**
 * Returns the id in `blob:<id>` or `<id>`.
 *
 * @throws {BLOB_REFERENCE_INVALID} when the reference is anything else, so it can never become part of a path.
 */
export function parseReference(reference: unknown): string {
  const id = typeof reference === 'string' ? REFERENCE.exec(reference)?.[1] : undefined
  if (id === undefined) {
    throw new StorageError(
      'BLOB_REFERENCE_INVALID',
      'A reference to a blob is "blob:<id>" or "<id>", the id being 32 lower-case hexadecimal digits',
    )
  }
  return id
}

/**
 * Returns the ids that a JSON value mentions as `blob:<id>`, in any string or key. The ids need not exist. An unclear
 * case counts as a mention: a false mention keeps a blob, a missed mention loses it.
 */
export function findReferences(value: unknown, found: Set<string> = new Set()): Set<string> {
  if (typeof value === 'string') {
    // Tested first, because every message is searched and few mention a blob.
    if (value.includes('blob:')) for (const [, id = ''] of value.matchAll(MENTION)) found.add(id)
  } else if (Array.isArray(value)) {
    for (const item of value) findReferences(item, found)
  } else if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      findReferences(key, found)
      findReferences((value as Record<string, unknown>)[key], found) // Object.keys returns only own keys
    }
  }
  return found
}
