// Holdfast in one program: imports chats, lists them, continues one with files, and reads it back. A second run stores
// nothing twice.
//
//   npm run quickstart                               imports the sample beside this file
//   npm run quickstart -- chats.jsonl                imports your own export
//   npm run quickstart -- chats.jsonl --config FILE  uses another configuration, for example another database

import type { FileHandle } from 'node:fs/promises'
import { constants } from 'node:os'
import { openStorageFromFile, type Storage } from 'holdfast'
import { attachFiles, describeFiles } from './attachments.ts'
import { openFile, readArguments, type Stop, stopOnSignal } from './command-line.ts'
import { importChats } from './import-chats.ts'
import { preview } from './preview.ts'
import { progressLine } from './progress.ts'

async function main(): Promise<number> {
  const { file, config } = readArguments()
  const stop = stopOnSignal()
  await using chats = await openFile(file)
  await using storage = await openStorageFromFile(config)

  const { refused, firstSessionId } = await importAll(storage, chats, stop)
  if (!stop.signal) {
    await showSessions(storage)
    if (firstSessionId) await continueSession(storage, firstSessionId)
  }
  console.log(`\nThe data is in ${whereIs(storage)}`)
  if (stop.signal) return 128 + constants.signals[stop.signal]
  return refused > 0 ? 1 : 0
}

async function importAll(storage: Storage, chats: FileHandle, stop: Stop) {
  const count = { imported: 0, 'already there': 0, refused: 0, messages: 0 }
  let firstSessionId: string | undefined
  let lastLine = 0

  const { size } = await chats.stat() // 0 for a pipe
  const stream = chats.createReadStream()
  const progress = progressLine(process.stderr)
  for await (const lines of importChats(storage, stream)) {
    for (const result of lines) {
      lastLine = result.line
      count[result.outcome] += 1
      if (result.outcome === 'imported') count.messages += result.messages
      if (result.outcome !== 'refused') {
        firstSessionId ??= result.sessionId
      } else {
        progress.clear()
        console.error(`line ${result.line}: ${preview(result.reason, 200)}`)
      }
    }
    const part = stream.bytesRead / size
    progress.update(() => `Importing: line ${lastLine}${part <= 1 ? `, ${Math.floor(100 * part)} %` : ''}`)
    if (stop.signal) break
  }
  progress.clear()

  if (stop.signal) console.log(`Stopped by ${stop.signal} after line ${lastLine}; the next run imports the rest.`)
  console.log(
    `Conversations: ${count.imported} imported (${count.messages} messages), ` +
      `${count['already there']} already there, ${count.refused} refused`,
  )
  return { refused: count.refused, firstSessionId }
}

/** Prints one page of sessions, the most recently active first. */
async function showSessions(storage: Storage): Promise<void> {
  const page = await storage.sessions.list({ limit: 50 })
  console.log(`\n${'Messages'}  ${'Last activity'.padEnd(19)}  ${'Session'.padEnd(29)}  Title`)
  for (const { id, title, messageCount, lastActiveAt } of page.items) {
    const time = lastActiveAt.toISOString().slice(0, 19).replace('T', ' ')
    console.log(`${String(messageCount).padStart(8)}  ${time}  ${id.padEnd(29)}  ${title ?? ''}`)
  }
  if (page.nextCursor) {
    const { rows } = (await storage.stats()).database
    console.log(`and ${(rows.sessions ?? 0) - page.items.length} more`)
  }
}

/** Adds a question, an answer and two files, then prints the end of the conversation. */
async function continueSession(storage: Storage, sessionId: string): Promise<void> {
  const question = { id: 'quickstart-question', role: 'user', content: 'Thank you! Will you remember this tomorrow?' }
  const answer = { id: 'quickstart-answer', role: 'assistant', content: 'I will: this conversation is stored now.' }

  const continued = await storage.messages.get(sessionId, question.id)
  // Safe to repeat: a message whose id is stored already is not added again.
  await storage.messages.append(sessionId, [question, answer])
  await attachFiles(storage, sessionId, 'quickstart-files')
  console.log(`\n${continued ? 'Already continued' : 'Continued'} ${sessionId}; it ends with`)

  for (const { seq, role, content } of await storage.messages.latest(sessionId, 4)) {
    console.log(`${String(seq).padStart(5)}  ${role.padEnd(9)}  ${preview(content, 80)}`)
  }
  console.log(`with\n  ${(await describeFiles(storage, sessionId, 'quickstart-files')).join('\n  ')}`)
}

function whereIs({ config: { database } }: Storage): string {
  if (database.type === 'sqlite') return database.file
  if (database.type === 'in-memory') return 'memory only: it ends with this program'
  const { connection } = database
  return `PostgreSQL, ${'url' in connection ? connection.url : `${connection.host}/${connection.database}`}`
}

// `| head` closes the pipe early; that is not an error.
process.stdout.on('error', () => {})

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
