import { createHash } from 'node:crypto'
import { and, eq } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { isOwn } from '../../database/owner.ts'
import { batch, statement } from '../../database/statement.ts'
import { isStorageError } from '../../errors.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import type { BlobContext } from '../context.ts'
import { isMimeType } from '../input/mime.ts'
import { blobSource } from '../input/source.ts'
import { putBlob, putBlobInTransaction } from '../protocol/put.ts'
import { blobUri, newBlobId } from '../reference.ts'
import { blobNameSchema } from '../types.ts'
import { type Data, dataOf, typeIn } from './data.ts'
import { mapStrings, type Place } from './strings.ts'

/** The property of a blob's metadata that says what stands before its bytes if a part of a message is data again. */
export const INLINE = '$inline'

/** How many blobs a call stores at once. */
const AT_ONCE = 8

/**
 * Properties that hold bare base64: those of the AI SDK, OpenAI, Anthropic, Gemini, Bedrock, LangChain, MCP and Dexto, and of
 * bytes that an adapter has written as JSON.
 */
const BARE = new Set([
  ...['data', 'image', 'audio', 'file', 'file_data', 'fileData', 'blob', 'bytes', 'base64', 'b64_json', 'result'],
  ...['partial_image_b64', '$bytes', '$buffer'],
])
const TYPES = ['mediaType', 'media_type', 'mimeType', 'mime_type']

/** What of a message may hold data. */
interface Contents {
  id?: string | undefined
  content?: MessageContent | undefined
  metadata?: JsonObject | undefined
}

interface Target {
  sessionId: string
  /** The owner of the session. */
  owner: string
  operationId?: string | undefined
}

interface Attachment extends Data {
  id: string
  mimeType: string | undefined
  name: string | undefined
}

/** How long no cleanup removes a blob whose message may still be on its way. */
const UNDER_WAY_MILLIS = 3_600_000

const touchRecord = statement((db, arg: { id: string; now: Date; lastUsedAt: Date }) => {
  const { blobs: b } = db.tables
  return db.orm
    .update(b)
    .set({ lastUsedAt: arg.lastUsedAt })
    .where(and(eq(b.id, arg.id), isOwn(db, b), notExpired(b, arg.now)))
    .returning({ id: b.id })
})

const selectRecord = statement((db, arg: { id: string }) => {
  const { blobs: b } = db.tables
  return db.orm
    .select({ id: b.id })
    .from(b)
    .where(and(eq(b.id, arg.id), isOwn(db, b)))
})

/** The blobs of an owner that messages name which are about to be stored. */
export interface Offloaded {
  owner: string
  ids: readonly string[]
}

/** Makes blobs of the data in messages that are about to be stored. */
export class Offload {
  readonly #context: BlobContext
  readonly #aboveBytes: number
  readonly #hasOwnDatabase: boolean

  /** `hasOwnDatabase` says that the records of blobs are in another database than messages. */
  constructor(context: BlobContext, { aboveBytes, hasOwnDatabase }: { aboveBytes: number; hasOwnDatabase: boolean }) {
    this.#context = context
    this.#aboveBytes = aboveBytes
    this.#hasOwnDatabase = hasOwnDatabase
  }

  /** Returns true if messages have data to store. */
  isNeeded(messages: readonly Contents[]): boolean {
    return messages.some((message) => this.#hasData(message))
  }

  /**
   * Stores the data of messages as blobs of the session's owner, and returns messages that name the blobs. If the messages
   * are not stored after all, the blobs are unused, and cleaned up like others. Safe to repeat: the id of a blob follows from
   * its bytes and the message, so that a repeat finds the blob, and names it as before. A message without an id, outside of
   * an operation, is another one each time.
   */
  async messages<M extends Contents>(
    given: readonly M[],
    target: Target,
  ): Promise<{ stored: readonly M[]; blobs: Offloaded }> {
    const { operationId, sessionId, owner } = target
    const found = new Map<string, Attachment>()
    const stored = given.map((message, i) => {
      const place = message.id ?? (operationId === undefined ? undefined : [operationId, i])
      const idOf = ({ bytes, prefix }: Data) => {
        if (place === undefined) return newBlobId()
        const hash = createHash('sha256').update(bytes).digest('hex')
        return derivedId([owner, sessionId, place, prefix, hash])
      }
      return mapFields(message, (text, at) => {
        const data = this.#dataAt(text, at)
        if (data === undefined) return text
        const id = idOf(data)
        found.set(id, { ...data, id, mimeType: typeOf(data, at), name: nameAt(at) })
        return blobUri(id)
      })
    })
    await this.#putAll([...found.values()], owner, sessionId)
    return { stored, blobs: { owner, ids: [...found.keys()] } }
  }

  /**
   * Returns true if the blobs are there and the owner's still. `tx` has stored the messages that name them: their mentions keep
   * what is there until it ends.
   */
  async areThere({ owner, ids }: Offloaded, tx: Db): Promise<boolean> {
    const db = new OwnedDb(this.#hasOwnDatabase ? this.#context.db : tx, owner)
    const found = await batch(
      db,
      ids.map((id) => selectRecord.with({ id })),
    )
    return found.every((records) => records.length > 0)
  }

  #hasData(message: Contents): boolean {
    let found = false
    mapFields(message, (text, at) => {
      found ||= this.#dataAt(text, at) !== undefined
      return text
    })
    return found
  }

  #dataAt(text: string, { key = '' }: Place): Data | undefined {
    return dataOf(text, { aboveBytes: this.#aboveBytes, mayBeBare: BARE.has(key) })
  }

  async #putAll(attachments: readonly Attachment[], owner: string, source: string): Promise<void> {
    // In a transaction one after the other, as its statements are. Sorted, so that two transactions lock rows in one order.
    const atOnce = this.#context.transaction ? 1 : AT_ONCE
    const sorted = attachments.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    for (let start = 0; start < sorted.length; start += atOnce) {
      const puts = sorted.slice(start, start + atOnce).map((attachment) => this.#put(attachment, owner, source))
      const failed = (await Promise.allSettled(puts)).find((outcome) => outcome.status === 'rejected')
      if (failed) throw failed.reason
    }
  }

  #put({ id, bytes, prefix, mimeType, name }: Attachment, ownerId: string, source: string): Promise<void> {
    const { db, store, transaction, whileOpen } = this.#context
    return whileOpen(async () => {
      const now = store.now()
      // The mention sets it to the time of the message. Until then a cleanup of what is unused by now would take the blob.
      const lastUsedAt = new Date(now.getTime() + UNDER_WAY_MILLIS)
      if (await touchRecord.first(new OwnedDb(db, ownerId), { id, now, lastUsedAt })) return
      const put = transaction ? putBlobInTransaction(transaction) : putBlob
      const options = { id, ownerId, source, mimeType, name, lastUsedAt, metadata: { [INLINE]: prefix } }
      await put(db, store, await blobSource(bytes), options).catch((error: unknown) => {
        // Another call with the same message was first.
        if (!isStorageError(error, 'ALREADY_EXISTS')) throw error
      })
    })
  }
}

function mapFields<M extends Contents>(message: M, map: (text: string, place: Place) => string): M {
  const { content, metadata } = message
  return {
    ...message,
    ...(content !== undefined && { content: mapStrings(content, map) }),
    ...(metadata !== undefined && { metadata: mapStrings(metadata, map) }),
  }
}

/** Returns an id that nobody finds without the bytes and the ids of the message. */
function derivedId(of: unknown): string {
  return createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 32)
}

function typeOf({ prefix }: Data, place: Place): string | undefined {
  const named = [typeIn(prefix), ...TYPES.map((key) => textAt(place, key))]
  return named.find((type) => type !== undefined && isMimeType(type))
}

function nameAt(place: Place): string | undefined {
  const name = textAt(place, 'filename')
  return blobNameSchema.safeParse(name).success ? name : undefined
}

/** Returns the text of a property of the object around a place, or of the object around that. */
function textAt({ around }: Place, key: string): string | undefined {
  const values = around.slice(0, 2).map((object) => object[key])
  return values.find((value) => typeof value === 'string')
}
