import { randomUUID } from 'node:crypto'
import type BetterSqlite3 from 'better-sqlite3'
import type { Message, MessageInput, Session } from 'holdfast'

const COLUMNS = 'session_id, seq, id, role, content, metadata, created_at'
const LIVING =
  "EXISTS (SELECT 1 FROM sessions WHERE id = ? AND owner_id = '' AND (expires_at IS NULL OR expires_at > ?))"

/** Returns the baseline: the same calls with the same guarantees, by hand over better-sqlite3. */
export function rawSqlite(db: BetterSqlite3.Database) {
  const messageById = db.prepare<[string, string, string, number], MessageRow>(
    `SELECT ${COLUMNS} FROM messages WHERE session_id = ? AND owner_id = '' AND id = ? AND ${LIVING}`,
  )
  const messagesAfter = db.prepare<[string, number, string, number, number], MessageRow>(
    `SELECT ${COLUMNS} FROM messages WHERE session_id = ? AND owner_id = '' AND seq > ? AND ${LIVING} ORDER BY seq LIMIT ?`,
  )
  const sessionById = db.prepare<[string, number], SessionRow>(
    `SELECT id, title, owner_id, metadata, version, parent_id, created_at, updated_at, expires_at FROM sessions
     WHERE id = ? AND owner_id = '' AND (expires_at IS NULL OR expires_at > ?)`,
  )
  const nextSeq = db.prepare<[string, number, number, number], { last_seq: number }>(
    `INSERT INTO sessions (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
     VALUES (?, '{}', 1, ?, ?, 1, 1, ?)
     ON CONFLICT (id, owner_id) DO UPDATE
       SET last_seq = last_seq + 1, message_count = message_count + 1, last_active_at = excluded.last_active_at
       WHERE expires_at IS NULL OR expires_at > excluded.created_at
     RETURNING last_seq`,
  )
  const insertMessage = db.prepare<[string, number, string, string, string, string, number]>(
    `INSERT INTO messages (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  )

  const append = db.transaction((sessionId: string, input: MessageInput): Message => {
    const { id = randomUUID(), role, content, metadata = {} } = input
    const createdAt = new Date()
    const now = createdAt.getTime()
    const stored = messageById.get(sessionId, id, sessionId, now)
    if (stored) return messageOf(stored) // a repeat changes nothing
    const [row] = nextSeq.all(sessionId, now, now, now)
    if (!row) throw new Error('The session has expired')
    insertMessage.run(sessionId, row.last_seq, id, role, JSON.stringify(content), JSON.stringify(metadata), now)
    const message = { sessionId, seq: row.last_seq, id, role, content, metadata, createdAt }
    return message as Message // the input is JSON already
  })

  return {
    message(sessionId: string, id: string): Message | undefined {
      const row = messageById.get(sessionId, id, sessionId, Date.now())
      return row && messageOf(row)
    },
    session(id: string): Session | undefined {
      const row = sessionById.get(id, Date.now())
      return row && sessionOf(row)
    },
    page(sessionId: string, after: number, limit: number): { items: Message[]; more: boolean } {
      const rows = messagesAfter.all(sessionId, after, sessionId, Date.now(), limit + 1)
      const items = rows.map(messageOf)
      if (items.length <= limit) return { items, more: false }
      items.pop()
      return { items, more: true }
    },
    append: append.immediate,
  }
}

interface MessageRow {
  session_id: string
  seq: number
  id: string
  role: string
  content: string | null
  metadata: string
  created_at: number
}

function messageOf(row: MessageRow): Message {
  return {
    sessionId: row.session_id,
    seq: row.seq,
    id: row.id,
    role: row.role,
    content: row.content === null ? null : JSON.parse(row.content),
    metadata: JSON.parse(row.metadata),
    createdAt: new Date(row.created_at),
  }
}

interface SessionRow {
  id: string
  title: string | null
  owner_id: string
  metadata: string
  version: number
  parent_id: string | null
  created_at: number
  updated_at: number
  expires_at: number | null
}

function sessionOf(row: SessionRow): Session {
  return {
    id: row.id,
    title: row.title,
    ownerId: row.owner_id,
    metadata: JSON.parse(row.metadata),
    version: row.version,
    parentId: row.parent_id,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
    expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
  }
}
