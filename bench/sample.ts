import type { MessageInput } from 'holdfast'

const TEXT =
  'Thanks, that worked. Could you also check whether the second report has the same totals as the first one? ' +
  'I think the rows for March were counted twice, but I am not sure where it happens. — “Überprüfung” 👍'

/** Returns a message of a usual length. */
export function sampleMessage(i: number): MessageInput {
  return {
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `${i}: ${TEXT}`,
    metadata: { model: 'sample', tokens: i },
  }
}

/** Id of the session that reads use. */
export const SEEDED = 'seeded'
/** Number of messages in that session. */
export const SEEDED_MESSAGES = 500

export function seededMessages(): (MessageInput & { id: string })[] {
  return Array.from({ length: SEEDED_MESSAGES }, (_, i) => ({ ...sampleMessage(i), id: messageId(i) }))
}

export function messageId(i: number): string {
  return `message-${i}`
}

/** Returns the session of append `i`: appends are spread over a hundred sessions. */
export function conversation(i: number): string {
  return `conversation-${i % 100}`
}

/** Returns the index of step `i` of a walk over `count` things, in an order that no cache or read-ahead guesses. */
export function scattered(i: number, count: number): number {
  return (i * 7919) % count
}
