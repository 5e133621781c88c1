import type { Highlight, SearchPage, TextHit } from '../../index.ts'
import type { Call, Command } from '../command.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { LIMIT, OWNER } from '../options.ts'
import { inLine, printable, timeText } from '../text.ts'
import { scopeOf } from './sessions.ts'

const PLACES = ['messages', 'memories', 'sessions'] as const
type Place = (typeof PLACES)[number]

export const search: Command = {
  name: 'search',
  summary: 'Finds messages, memories or sessions by their text, the newest first.',
  details: 'Needs the search switched on in the configuration: database.options.search.',
  arguments: [{ name: 'QUERY', summary: 'Words, "phrases", prefix*, -without.' }],
  options: [
    { name: 'in', value: 'WHAT', summary: 'What to search. Default messages.', choices: PLACES },
    { name: 'session', value: 'ID', summary: 'Only messages of this session.' },
    { name: 'order', value: 'ORDER', summary: 'Default newest.', choices: ['newest', 'relevance'] },
    OWNER,
    LIMIT,
  ],
  async run(call) {
    const { given, output } = call
    const place = PLACES.find((name) => name === given.text('in')) ?? 'messages'
    if (place !== 'messages' && given.text('session') !== undefined)
      throw new UsageError('--session goes with messages')
    if (place === 'sessions' && given.text('order') !== undefined)
      throw new UsageError('sessions have no --order: the newest come first')
    const page = await find(call, place)
    if (page.incomplete) output.note('The index is not complete yet: texts may be missing.')
    if (page.items.length === 0) output.note('Nothing was found.')
    for (const hit of page.items) {
      const { name, at } = placeOf(hit)
      await output.print(
        `${output.colour('bold', name)} ${output.colour('dim', timeText(at))}\n${excerpt(call, hit)}\n`,
        hit,
      )
    }
    return EXIT.ok
  },
}

type Hit = TextHit & {
  message?: { sessionId: string; seq: number; createdAt: Date }
  memory?: { id: string; createdAt: Date }
  session?: { id: string; lastActiveAt: Date }
}

async function find(call: Call, place: Place): Promise<SearchPage<Hit>> {
  const { given } = call
  const query = given.argument('QUERY')
  const limit = given.count('limit', 20)
  const order = given.text('order') === 'relevance' ? 'relevance' : 'newest'
  const scope = await scopeOf(call)
  if (place === 'memories') return scope.memories.search(query, { limit, order })
  if (place === 'sessions') return scope.sessions.search(query, { limit })
  return scope.messages.search(query, { limit, order, sessionId: given.text('session') })
}

function placeOf({ session, message, memory }: Hit): { name: string; at: Date } {
  if (session) return { name: inLine(session.id), at: session.lastActiveAt }
  if (message) return { name: `${inLine(message.sessionId)} #${message.seq}`, at: message.createdAt }
  return { name: inLine(memory?.id ?? ''), at: memory?.createdAt ?? new Date(0) }
}

/** How much is shown before and after what was found. */
const BESIDE = 60

/** Returns the text around the first highlight, with what was found in colour. */
function excerpt({ output }: Call, { text, highlights }: TextHit): string {
  const [first] = highlights
  const from = Math.max(0, (first?.[0] ?? 0) - BESIDE)
  const through = Math.min(text.length, (first?.[1] ?? 0) + 2 * BESIDE)
  const inside = highlights.filter(([start, end]) => start >= from && end <= through)
  let shown = from > 0 ? '…' : ''
  let at = from
  for (const [start, end] of inside satisfies Highlight[]) {
    shown += plain(text.slice(at, start)) + output.colour('yellow', plain(text.slice(start, end)))
    at = end
  }
  return shown + plain(text.slice(at, through)) + (through < text.length ? '…' : '')
}

const plain = (text: string) => printable(text.replace(/\s/g, ' '))
