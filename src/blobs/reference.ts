import { randomBytes } from 'node:crypto'
import { StorageError } from '../errors.ts'

const ID = '[0-9a-f]{32}'
const REFERENCE = new RegExp(`^(?:blob:)?(${ID})$`)
const MENTION = new RegExp(`blob:(${ID})`, 'g')

/** A new blob id: 128 random bits as 32 lower-case hexadecimal digits. */
export const newBlobId = () => randomBytes(16).toString('hex')

export const blobUri = (id: string) => `blob:${id}`

/** The id that `blob:<id>` or `<id>` names; anything else is BLOB_REFERENCE_INVALID and is never looked up. */
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
 * The ids that a JSON value mentions as `blob:<id>`, in any string or key of it. In doubt it is a mention: one too many
 * keeps a blob, one too few loses it. The ids need not exist.
 */
export function findReferences(value: unknown, found: Set<string> = new Set()): Set<string> {
  if (typeof value === 'string') {
    // Few do, and every message is asked.
    if (value.includes('blob:')) for (const [, id = ''] of value.matchAll(MENTION)) found.add(id)
  } else if (Array.isArray(value)) {
    for (const item of value) findReferences(item, found)
  } else if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      findReferences(key, found)
      findReferences((value as Record<string, unknown>)[key], found) // key is one of its own
    }
  }
  return found
}
