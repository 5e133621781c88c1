import type { Highlight, Message, Repositories, TextHit } from '../index.ts'
import type { Parameters } from './parameters.ts'

/** How much of a text is returned before what was found, and in all. */
const BEFORE = 80
const UNITS = 400

/** Returns what the search finds, each with the text around the first place. */
export async function searchHits(
  { messages, memories, sessions }: Pick<Repositories, 'messages' | 'memories' | 'sessions'>,
  given: Parameters,
): Promise<unknown> {
  const query = given.required('q')
  const place = given.choice('in', ['sessions', 'messages', 'memories']) ?? 'messages'
  const order = given.choice('order', ['newest', 'relevance'])
  const { page } = given
  if (place === 'memories') {
    const { items, ...rest } = await memories.search(query, { ...page, order })
    return {
      ...rest,
      items: items.map((hit) => ({ ...around(hit), id: hit.memory.id, at: hit.memory.createdAt })),
    }
  }
  if (place === 'sessions') {
    const { items, ...rest } = await sessions.search(query, page)
    return {
      ...rest,
      items: items.map((hit) => ({ ...messageHit(hit), ownerId: hit.session.ownerId, title: hit.session.title })),
    }
  }
  const { items, ...rest } = await messages.search(query, { ...page, order, sessionId: given.text('session') })
  return { ...rest, items: items.map((hit) => ({ ...messageHit(hit), ownerId: hit.ownerId })) }
}

function messageHit(hit: TextHit & { message: Message }) {
  const { id, seq, role, sessionId, createdAt: at } = hit.message
  return { ...around(hit), id, seq, role, sessionId, at }
}

/** Returns the text around the first highlight, and the highlights in it. */
function around({ text, highlights }: TextHit): { text: string; highlights: Highlight[] } {
  const first = highlights[0]?.[0] ?? 0
  const from = first <= BEFORE ? 0 : first - BEFORE
  const through = Math.min(text.length, from + UNITS)
  const prefix = from > 0 ? '…' : ''
  const moved = prefix.length - from
  return {
    text: `${prefix}${text.slice(from, through)}${through < text.length ? '…' : ''}`.toWellFormed(),
    highlights: highlights
      .filter(([start, end]) => start >= from && end <= through)
      .map(([start, end]): Highlight => [start + moved, end + moved]),
  }
}
