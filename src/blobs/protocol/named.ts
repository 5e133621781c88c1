import type { Db } from '../../database/db.ts'
import { textsOf } from '../../database/texts.ts'
import type { Tables } from '../../schema/tables.ts'

/** Tables without any text of the program. All others are searched, also tables that are added later. */
const LEFT_OUT: ReadonlySet<string> = new Set<keyof Tables>([
  'properties',
  'maintenanceLeases',
  'blobContent',
  'blobRemovals',
  'blobChunks',
  'blobLeases',
  'blobRefs',
  'blobUsage',
  'messageSearch',
  'memorySearch',
  'messageEmbeddings',
  'memoryEmbeddings',
])

const ID_LENGTH = 32

/**
 * Returns those of the ids of blobs that stand in a text or JSON of any row, as `blob:<id>` or as the id alone. JSON
 * escapes no character of an id, so a JSON column is searched as text. Reads every text once, for any number of ids.
 */
export async function findNamed(databases: readonly Db[], ids: readonly string[]): Promise<Set<string>> {
  const unnamed = new Set(ids)
  const named = new Set<string>()
  for (const db of databases) {
    for (const [name, table] of Object.entries(db.tables)) {
      if (LEFT_OUT.has(name)) continue
      if (unnamed.size === 0) return named
      const { blobs } = db.tables
      for await (const texts of textsOf(db, table, table === blobs ? [blobs.id, blobs.hash] : [])) {
        for (const text of texts) moveIdsIn(text, unnamed, named)
      }
    }
  }
  return named
}

/** Moves the ids that stand in a text from `unnamed` to `named`. An id may be next to other digits, as in "feed<id>". */
export function moveIdsIn(text: string, unnamed: Set<string>, named: Set<string>): void {
  // Reads backwards from where an id would end, and skips a whole id at a character that is no digit: in prose that is
  // 20 times as fast as a regular expression.
  let digitsFrom = 0 // all between here and `end` are digits, or not read yet
  for (let end = ID_LENGTH - 1; end < text.length; ) {
    let at = end
    while (at >= digitsFrom && isDigit(text.charCodeAt(at))) at--
    if (at >= digitsFrom) {
      digitsFrom = at + 1
      end = at + ID_LENGTH
    } else {
      const id = text.slice(end + 1 - ID_LENGTH, end + 1)
      if (unnamed.delete(id)) named.add(id)
      end += 1
      digitsFrom = end
    }
  }
}

/** Returns true for 0 to 9 and a to f. */
const isDigit = (code: number) => (code >= 48 && code <= 57) || (code >= 97 && code <= 102)
