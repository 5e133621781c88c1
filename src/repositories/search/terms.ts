import type { Db, Dialect } from '../../database/db.ts'
import type { MessageContent } from '../../schema/values.ts'
import { ftsDocument, tsvectorDocument } from '../../search/document.ts'
import { textOfMessage } from '../../search/message-text.ts'

/** Returns the tokens of a text as the index of the dialect takes them. */
export function termsOf(dialect: Dialect, text: string): string {
  return dialect === 'sqlite' ? ftsDocument(text) : tsvectorDocument(text)
}

/** Returns the text of a message that the configuration has indexed. */
export function indexedText({ search }: Pick<Db, 'search'>, content: MessageContent): string {
  return textOfMessage(content, { tools: search === 'with-tools' })
}

/** Returns the tokens of a message. */
export function termsOfMessage(db: Pick<Db, 'dialect' | 'search'>, content: MessageContent): string {
  return termsOf(db.dialect, indexedText(db, content))
}
