import type { Approval, ApprovalDecision, Message, MessagePart, MessagePartType, MessageRole, Storage } from 'holdfast'
import type { Same } from './same.ts'

// Checked by tsc: the usual names are known, for completion, and any other text is accepted.

/** The names that the compiler knows of a union with an open end. */
type Known<T> = T extends string ? (string extends T ? never : T extends string & {} ? Literal<T> : never) : never
type Literal<T extends string> = Record<never, never> extends Record<T, never> ? never : T

export const known: {
  roles: Same<Known<MessageRole>, 'system' | 'user' | 'assistant' | 'tool'>
  decisions: Same<Known<ApprovalDecision>, 'approved' | 'denied'>
  parts: Same<Known<MessagePartType>, 'text' | 'image' | 'file' | 'tool-call' | 'tool-result' | 'reasoning'>
} = { roles: true, decisions: true, parts: true }

/** A returned value has the type of the given value. */
export const returned: {
  role: Same<Message['role'], MessageRole>
  part: Same<MessagePart['type'], MessagePartType>
  decision: Same<NonNullable<Approval['response']>['decision'], ApprovalDecision>
} = { role: true, part: true, decision: true }

export async function open({ messages, approvals }: Storage, role: string) {
  await messages.append('id', { role, content: [{ type: 'audio' }] })
  await messages.append('id', { role: 'developer', content: null })
  await approvals.respond({ id: 'x', decision: 'always' })
  const [message] = await messages.latest('id', 1)
  const text: string | undefined = message?.role
  return text
}
