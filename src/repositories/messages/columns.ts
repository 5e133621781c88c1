import type { Tables } from '../../schema/tables.ts'

/** Lists the columns of a `Message`. The owner is not among them: it is the owner of the session. */
export const messageColumns = ({ messages: m }: Tables) => ({
  sessionId: m.sessionId,
  seq: m.seq,
  id: m.id,
  role: m.role,
  content: m.content,
  metadata: m.metadata,
  createdAt: m.createdAt,
})
