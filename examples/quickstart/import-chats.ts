import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { type Json, type Storage, StorageError, type StorageTransaction } from 'holdfast'
import { z } from 'zod'
import { type Line, MAX_LINE_BYTES, splitLines } from './lines.ts'
import { preview } from './preview.ts'

/** The outcome of a line of the export. */
export type ImportedLine =
  | { outcome: 'imported' | 'already there'; line: number; sessionId: string; messages: number }
  | { outcome: 'refused'; line: number; reason: string }

/** Largest number of messages in one append. */
const MAX_APPEND = 1000

// Checks only what the import needs; the rest of a line is stored unchanged.
const rest = z.custom<Json>()
const part = z.object({ type: z.string() }).catchall(rest)
const content = z.union([z.string(), z.array(part), z.null()], {
  error: 'expected a string, an array of parts (objects with a type), or null',
})
const message = z
  .object({
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
    content: content.default(null),
  })
  .catchall(rest)
  .refine((message) => message.content !== null || saysItOtherwise(message), {
    path: ['content'],
    error: 'missing, and only an assistant may call a tool, refuse or speak in its place',
  })
const chat = z.object({ messages: z.array(message).min(1, 'expected at least one message') }).catchall(rest)

type Chat = z.infer<typeof chat>
type Message = z.infer<typeof message>

/**
 * Imports chats in OpenAI's fine-tuning format (JSON Lines, `{"messages": [...]}` per line). Yields the outcomes of some
 * lines after each commit. Skips blank lines. Safe to repeat: a session's id is a hash of its chat, so a chat that is
 * stored already stays unchanged, and each chat is stored whole or not at all.
 */
export async function* importChats(storage: Storage, file: AsyncIterable<Buffer>): AsyncGenerator<ImportedLine[]> {
  for await (const lines of splitLines(file)) {
    // The lines of one chunk share a transaction, and so one fsync.
    yield await storage.transaction(async (tx) => {
      const imported: ImportedLine[] = []
      for (const line of lines) {
        const result = await importLine(tx, line)
        if (result) imported.push(result)
      }
      return imported
    })
  }
}

class RefusedLine extends Error {}

async function importLine(tx: StorageTransaction, { line, bytes }: Line): Promise<ImportedLine | undefined> {
  try {
    const text = decode(bytes)
    if (text.trim() === '') return undefined
    const { sessionId, chat } = parseChat(text)
    const outcome = await save(tx, sessionId, chat)
    return { outcome, line, sessionId, messages: chat.messages.length }
  } catch (error) {
    if (!(error instanceof RefusedLine)) throw error
    return { outcome: 'refused', line, reason: error.message }
  }
}

async function save(tx: StorageTransaction, sessionId: string, chat: Chat): Promise<'imported' | 'already there'> {
  const { messages, ...metadata } = chat
  // All other fields of a message (tool_calls, tool_call_id, name, weight) become its metadata.
  const inputs = messages.map(({ role, content, ...metadata }, index) => ({
    id: `${sessionId}-${index}`,
    role,
    content,
    metadata,
  }))
  try {
    // A savepoint: if a chat is refused half-way, its rows are undone and the other chats stay.
    await tx.transaction(async (nested) => {
      await nested.sessions.create({ id: sessionId, title: titleOf(messages), metadata })
      for (let start = 0; start < inputs.length; start += MAX_APPEND) {
        await nested.messages.append(sessionId, inputs.slice(start, start + MAX_APPEND))
      }
    })
    return 'imported'
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    if (error.code === 'ALREADY_EXISTS') return 'already there'
    if (error.code === 'INVALID_INPUT') throw new RefusedLine(error.message)
    throw error
  }
}

function parseChat(text: string): { sessionId: string; chat: Chat } {
  let value: unknown
  let sessionId: string
  try {
    value = JSON.parse(text)
    sessionId = sessionIdOf(value)
  } catch (error) {
    throw new RefusedLine(`invalid JSON (${error instanceof Error ? error.message : error})`)
  }
  const { success, data, error } = chat.safeParse(value)
  if (success) return { sessionId, chat: data }
  throw new RefusedLine(error.issues.map(({ path, message }) => `${pathOf(path)}${message}`).join('; '))
}

function pathOf(keys: PropertyKey[]): string {
  const path = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  return path && `${path.slice(1)}: `
}

function saysItOtherwise(message: Record<string, unknown>): boolean {
  return message.role === 'assistant' && ['tool_calls', 'function_call', 'refusal', 'audio'].some((key) => message[key])
}

/** Returns an id that depends only on the chat's content, not on the spacing, escapes or key order of its JSON. */
function sessionIdOf(chat: unknown): string {
  const canonical = JSON.stringify(chat, (_key, value) =>
    value?.constructor === Object ? Object.fromEntries(Object.entries(value).sort()) : value,
  )
  return `chat-${createHash('sha256').update(canonical).digest('hex').slice(0, 24)}`
}

function titleOf(messages: Message[]): string | undefined {
  const opening = messages.find(({ role }) => role === 'user') ?? messages[0]
  return preview(opening?.content ?? null, 60) || undefined
}

function decode(line: Buffer | undefined): string {
  if (line === undefined) throw new RefusedLine(`longer than ${MAX_LINE_BYTES / 1024 / 1024} MiB`)
  if (!isUtf8(line)) throw new RefusedLine('not valid UTF-8')
  return new TextDecoder().decode(line) // drops a byte order mark
}
