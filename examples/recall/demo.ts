import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { Assistant } from './assistant.ts'

// Two sessions of one user, days apart, each with a storage of its own on the same file; and one of another user.

const directory = mkdtempSync(join(tmpdir(), 'recall-'))
const database = { type: 'sqlite', path: join(directory, 'agent.db') } as const

/** Runs one session, and prints what the assistant knows at each sentence. */
async function session(userId: string, sessionId: string, sentences: string[]): Promise<void> {
  // A model of yours in its place: this one needs no network, and knows words instead of meanings.
  await using storage = await openStorage({ database }, { embedding: wordEmbedding() })
  const assistant = new Assistant(storage, userId)
  for (const sentence of sentences) {
    const { memories, earlier } = await assistant.hear(sessionId, sentence)
    console.log(`${userId}, ${sessionId}: ${sentence}`)
    for (const memory of memories) console.log(`  remembers: ${memory}`)
    for (const message of earlier) console.log(`  said on ${message}`)
  }
  await storage.embedPending() // this process ends soon: the next would embed what is left
}

await session('ada', 'monday', ['Remember that I prefer window seats', 'The invoice from the hotel is wrong'])
await session('ada', 'thursday', ['Which seats do I prefer?', 'What was wrong with the invoice from the hotel?'])
await session('bob', 'thursday', ['Which seats do I prefer?'])
rmSync(directory, { recursive: true })
