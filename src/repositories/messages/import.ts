import { StorageError } from '../../errors.ts'
import { fastCheck } from '../../validation/fast-path.ts'
import { parseInput } from '../../validation/input.ts'
import { checkSignal } from '../../validation/signal.ts'
import { ImportBatch, type OffloadedImport } from './import-batch.ts'
import { ImportSource } from './import-source.ts'
import { type ImportedMessages, importInputSchema, type ParsedImport } from './types.ts'

/** What an import needs of its storage. */
interface ImportTarget {
  /** Returns the message as it is to be stored, with the names of blobs in the place of data. */
  offloaded(message: ParsedImport): OffloadedImport | Promise<OffloadedImport>
  /** Stores a batch. Returns the number of messages that their sessions did not have. */
  store(batch: ImportBatch, options: { areKnown: boolean }): Promise<number>
  /** Aborted by the beginning of a close. */
  closing: AbortSignal | undefined
}

interface ImportRun {
  signal: AbortSignal | undefined
  onProgress: ((progress: ImportedMessages) => void) | undefined
}

/** Stores messages in batches. While one batch is stored, the next one is collected. */
export async function importMessages(
  messages: unknown,
  { offloaded, store, closing }: ImportTarget,
  { signal, onProgress }: ImportRun,
): Promise<ImportedMessages> {
  const done: ImportedMessages = { added: 0, known: 0 }
  const check = () => {
    const so = `after ${done.added + done.known} messages, which stay`
    checkSignal(signal, `The import was aborted by its signal ${so}`, { ...done })
    if (!closing?.aborted) return
    throw new StorageError('CLOSED', `The storage is being closed. The import has ended ${so}`, {
      details: { ...done },
    })
  }
  const storeNext = async (batch: ImportBatch) => {
    const added = await store(batch, { areKnown: done.known > 0 })
    done.added += added
    done.known += batch.messages - added
    onProgress?.({ ...done })
  }
  const signals = [signal, closing].filter((each) => each !== undefined)
  const source = new ImportSource(messages, signals)
  let storing = Promise.resolve()
  try {
    for await (const batch of batchesOf(source, offloaded)) {
      await storing
      check()
      storing = storeNext(batch)
      storing.catch(() => {}) // thrown below
    }
  } finally {
    await storing
  }
  if (source.isStopped) check()
  return done
}

/** Collects messages in batches. If one is not valid or the source fails, yields the messages before, then fails. */
async function* batchesOf(
  source: ImportSource,
  offloaded: ImportTarget['offloaded'],
): AsyncGenerator<ImportBatch, void, void> {
  let batch = new ImportBatch()
  try {
    for (;;) {
      try {
        const step = source.next()
        const { done, value } = step instanceof Promise ? await step : step
        if (done) break
        // The name of each message is made only if it is needed.
        const message =
          fastCheck(importInputSchema, value) ?? parseInput(importInputSchema, value, `messages.${source.taken - 1}`)
        const stored = offloaded(message)
        batch.add(stored instanceof Promise ? await stored : stored)
      } catch (error) {
        if (batch.messages > 0) yield batch
        throw error
      }
      if (!batch.isFull) continue
      yield batch
      batch = new ImportBatch()
    }
    if (batch.messages > 0) yield batch // refused if a signal has ended the source
  } finally {
    await source.end()
  }
}
