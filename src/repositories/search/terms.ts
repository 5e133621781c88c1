import type { Dialect } from '../../database/db.ts'
import { ftsDocument, tsvectorDocument } from '../../search/document.ts'

/** Returns the tokens of a text as the index of the dialect takes them. */
export function termsOf(dialect: Dialect, text: string): string {
  return dialect === 'sqlite' ? ftsDocument(text) : tsvectorDocument(text)
}
