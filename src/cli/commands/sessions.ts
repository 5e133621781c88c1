import { type Message, type SessionSummary, type Storage, StorageError, type StorageScope } from '../../index.ts'
import type { Call, Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { LIMIT, OWNER } from '../options.ts'
import { pagesOf, wantedCount } from '../pages.ts'
import { countText, inColumns, inLine, manyText, printable, timeText } from '../text.ts'

export const sessionsLs: Command = {
  name: 'sessions ls',
  summary: 'Lists sessions, the last active first.',
  options: [OWNER, LIMIT, { name: 'all', summary: 'Lists all sessions, the last created first.' }],
  async run(call) {
    const { given, output, signal } = call
    const count = wantedCount(given)
    const orderBy = given.flag('all') ? 'createdAt' : 'lastActiveAt'
    const { sessions } = await scopeOf(call)
    let isEmpty = true
    for await (const items of pagesOf((page) => sessions.list({ ...page, orderBy }), { count, signal })) {
      if (items.length > 0) isEmpty = false
      await printSessions(call, items)
    }
    if (isEmpty) output.note('There are no sessions.')
    return EXIT.ok
  },
}

async function printSessions({ output }: Call, sessions: readonly SessionSummary[]): Promise<void> {
  if (output.isJson) {
    for (const session of sessions) await output.print('', session)
    return
  }
  const rows = sessions.map(({ id, ownerId, title, messageCount, lastActiveAt }) => [
    timeText(lastActiveAt),
    manyText(messageCount, 'message').padStart(14),
    inLine(id),
    ownerId === '' ? '-' : inLine(ownerId, 30),
    inLine(title ?? '', 50),
  ])
  if (rows.length > 0) await output.write(`${inColumns(rows)}\n`)
}

export const sessionsShow: Command = {
  name: 'sessions show',
  summary: 'Prints a conversation, through $PAGER on a terminal.',
  arguments: [{ name: 'ID', summary: 'The id of the session.' }],
  options: [OWNER, { name: 'last', value: 'N', summary: 'Only the last N messages.' }],
  async run(call) {
    const { given, output, signal, onClosedPipe } = call
    const id = given.argument('ID')
    const last = given.text('last') === undefined ? undefined : given.count('last', 1)
    const scope = await scopeOf(call)
    const session = await scope.sessions.summary(id)
    if (session === undefined) throw missing(id)
    await output.page(onClosedPipe)
    if (!output.isJson) await output.write(`${headOf(call, session)}\n`)
    for await (const message of last === undefined
      ? scope.messages.iterate(id)
      : await newest(scope, id, last, signal)) {
      signal.throwIfAborted()
      await output.print(messageText(call, message), message)
    }
    return EXIT.ok
  },
}

/** Returns the last messages of a session, the oldest of them first. */
async function newest({ messages }: Storage | StorageScope, id: string, count: number, signal: AbortSignal) {
  const found: Message[] = []
  const pages = pagesOf((page) => messages.list(id, { ...page, order: 'desc' }), { count, signal })
  for await (const items of pages) found.push(...items)
  return found.reverse()
}

function headOf({ output }: Call, { id, title, ownerId, messageCount, createdAt }: SessionSummary): string {
  const name = output.colour('bold', inLine(title ?? id, 100))
  const owner = ownerId === '' ? '' : `, of ${inLine(ownerId)}`
  return `${name}\n${inLine(id)}${owner}, ${manyText(messageCount, 'message')}, since ${timeText(createdAt)}\n`
}

/** Returns a message as people read it. */
function messageText({ output }: Call, { seq, role, content, createdAt }: Message): string {
  const head = `${output.colour('bold', printable(role))} ${output.colour('dim', `#${countText(seq)} ${timeText(createdAt)}`)}`
  return `${head}\n${printable(contentText(content))}\n`
}

function contentText(content: Message['content']): string {
  if (content === null) return '(no content)'
  if (typeof content === 'string') return content
  return content
    .map((part) => (part.type === 'text' && typeof part.text === 'string' ? part.text : JSON.stringify(part)))
    .join('\n')
}

export const sessionsRm: Command = {
  name: 'sessions rm',
  summary: 'Deletes sessions with everything that belongs to them.',
  arguments: [{ name: 'ID', summary: 'The id of a session.', isRepeated: true }],
  options: [OWNER],
  async run(call) {
    const { given, output, signal, confirm } = call
    const ids = given.all('ID')
    const scope = await scopeOf(call)
    await confirm(`Delete ${ids.length === 1 ? `the session ${inLine(ids[0] ?? '')}` : `${ids.length} sessions`}?`)
    let deleted = 0
    for (const id of ids) {
      signal.throwIfAborted()
      if (await scope.sessions.delete(id)) deleted++
      else output.note(`There is no session ${inLine(id)}.`)
    }
    await output.print(`${manyText(deleted, 'session')} deleted`, { deleted })
    return deleted === ids.length ? EXIT.ok : EXIT.findings
  },
}

/** Opens the storage, or what one owner has of it. */
export async function scopeOf({ given, open }: Call): Promise<Storage | StorageScope> {
  const storage = await open()
  const ownerId = given.text('owner')
  return ownerId === undefined ? storage : storage.scope({ ownerId })
}

function missing(id: string): StorageError {
  return new StorageError('NOT_FOUND', `There is no session ${JSON.stringify(id)}: holdfast sessions ls lists them`, {
    details: { id },
  })
}
