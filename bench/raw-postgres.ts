import { randomUUID } from 'node:crypto'
import type { Message, MessageInput, Session } from 'holdfast'
import type postgres from 'postgres'

const UNIQUE_VIOLATION = '23505'

/** Returns the baseline: the same calls with the same guarantees, by hand over postgres.js. */
export function rawPostgres(sql: postgres.Sql) {
  return {
    async message(sessionId: string, id: string): Promise<Message | undefined> {
      const now = new Date()
      const [message] = await sql<Message[]>`
        SELECT session_id AS "sessionId", seq, id, role, content, metadata, created_at AS "createdAt"
        FROM messages WHERE session_id = ${sessionId} AND owner_id = '' AND id = ${id}
          AND EXISTS (SELECT 1 FROM sessions WHERE id = ${sessionId} AND owner_id = '' AND (expires_at IS NULL OR expires_at > ${now}))`
      return message
    },
    async session(id: string): Promise<Session | undefined> {
      const [session] = await sql<Session[]>`
        SELECT id, title, owner_id AS "ownerId", metadata, version, parent_id AS "parentId",
          created_at AS "createdAt", updated_at AS "updatedAt", expires_at AS "expiresAt"
        FROM sessions WHERE id = ${id} AND owner_id = '' AND (expires_at IS NULL OR expires_at > ${new Date()})`
      return session
    },
    async page(sessionId: string, after: number, limit: number): Promise<{ items: Message[]; more: boolean }> {
      const now = new Date()
      const items: Message[] = await sql<Message[]>`
        SELECT session_id AS "sessionId", seq, id, role, content, metadata, created_at AS "createdAt"
        FROM messages WHERE session_id = ${sessionId} AND owner_id = '' AND seq > ${after}
          AND EXISTS (SELECT 1 FROM sessions WHERE id = ${sessionId} AND owner_id = '' AND (expires_at IS NULL OR expires_at > ${now}))
        ORDER BY seq LIMIT ${limit + 1}`
      if (items.length <= limit) return { items, more: false }
      items.pop()
      return { items, more: true }
    },
    async append(sessionId: string, input: MessageInput): Promise<Message> {
      const { id = randomUUID(), role, content, metadata = {} } = input
      const now = new Date()
      const [message] = await sql<Message[]>`
        WITH session AS (
          INSERT INTO sessions
            (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
          VALUES (${sessionId}, '{}', 1, ${now}, ${now}, 1, 1, ${now})
          ON CONFLICT (id, owner_id) DO UPDATE
            SET last_seq = sessions.last_seq + 1, message_count = sessions.message_count + 1, last_active_at = ${now}
            WHERE sessions.expires_at IS NULL OR sessions.expires_at > ${now}
          RETURNING id, last_seq
        )
        INSERT INTO messages (session_id, seq, id, role, content, metadata, created_at)
        SELECT session.id, last_seq, ${id}, ${role}, ${json(content)}::json, ${json(metadata)}::json, ${now} FROM session
        RETURNING session_id AS "sessionId", seq, id, role, content, metadata, created_at AS "createdAt"`.catch(
        async (error) => {
          if (error.code !== UNIQUE_VIOLATION) throw error
          return [await this.message(sessionId, id)] // appended before
        },
      )
      return message as Message // inserted just now, or before
    },
  }
}

/** Casts a value for a json column: postgres.js encodes it, but its type lacks arrays of objects. */
function json(value: unknown): postgres.SerializableParameter {
  return value as postgres.SerializableParameter
}
