import type { MessageInput, Storage } from 'holdfast'
import type { Way, Ways } from './harness.ts'
import { conversation, messageId, SEEDED, SEEDED_MESSAGES, sampleMessage, scattered } from './sample.ts'

/** One way to store conversations, in a database of its own: the storage, a driver by hand, or drizzle. */
export interface Contender {
  message(sessionId: string, id: string): unknown
  session(id: string): unknown
  page(sessionId: string, after: number, limit: number): unknown
  append(sessionId: string, message: MessageInput): unknown
}

/**
 * The contenders of one database. The storage is compared with the raw driver; the others need not support every call.
 */
export interface Field {
  ours: Contender
  raw: Contender
  others: Record<string, Partial<Contender>>
  close(): Promise<void>
}

export function closeField(field: Field): Promise<void> {
  return field.close()
}

export function contenderOf(storage: Storage): Contender {
  return {
    message: (sessionId, id) => storage.messages.get(sessionId, id),
    session: (id) => storage.sessions.get(id),
    page: (sessionId, after, limit) => storage.messages.list(sessionId, { after, limit }),
    append: (sessionId, message) => storage.messages.append(sessionId, message),
  }
}

type Work = keyof Contender

const CALLS: Record<Work, (contender: Partial<Contender>, i: number) => unknown> = {
  message: (contender, i) => contender.message?.(SEEDED, messageId(scattered(i, SEEDED_MESSAGES))),
  session: (contender) => contender.session?.(SEEDED),
  page: (contender, i) => contender.page?.(SEEDED, scattered(i, SEEDED_MESSAGES - 50), 50),
  append: (contender, i) => contender.append?.(conversation(i), sampleMessage(i)),
}

/** Returns the ways to do the work: one for each contender that supports it. */
export function waysOf(work: Work, { ours, raw, others }: Field): Ways {
  const way = (contender: Partial<Contender>): Way => ({ call: (i) => CALLS[work](contender, i) })
  const able = Object.entries(others).filter(([, contender]) => contender[work] !== undefined)
  return {
    ours: way(ours),
    baseline: way(raw),
    others: Object.fromEntries(able.map(([name, contender]) => [name, way(contender)])),
    close: async () => {}, // other rows share the field
  }
}
