import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Json, JsonObject, Message } from 'holdfast'
import type { Reply } from './agent.ts'

/**
 * Stands in for a language model: reads the conversation and returns the next step. The steps are to reserve the kind of
 * seat that the user asked for, to mail the ticket for that seat, and to tell the user.
 */
export async function scriptedModel(conversation: readonly Message[]): Promise<Reply> {
  await sleep(400) // as long as the demo's user needs on a slow machine to say something meanwhile
  const place = conversation.some(({ role, content }) => role === 'user' && /window/i.test(String(content)))
    ? 'window'
    : 'aisle'
  const reserved = lastResult(conversation, 'reserve_seat')
  if (reserved?.place !== place) return call('reserve_seat', { train: '9:04 to Oslo', place })
  const mailed = lastResult(conversation, 'mail_ticket')
  if (mailed?.error) return `You have ${place} seat ${reserved.seat}. I did not mail the ticket.`
  if (mailed?.seat !== reserved.seat) return call('mail_ticket', { to: 'ada@example.org', seat: reserved.seat ?? null })
  return `You have ${place} seat ${reserved.seat}, and the ticket is in your mail.`
}

function call(tool: string, input: Json): Reply {
  return [{ type: 'tool-call', id: randomUUID(), tool, input }]
}

function lastResult(conversation: readonly Message[], tool: string): JsonObject | undefined {
  const parts = conversation.flatMap(({ content }) => (Array.isArray(content) ? content : []))
  const result = parts.findLast((part) => part.type === 'tool-result' && part.tool === tool)
  return result?.output as JsonObject | undefined // both tools return objects
}
