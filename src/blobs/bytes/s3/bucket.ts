import { createHash } from 'node:crypto'
import { StorageError } from '../../../errors.ts'
import type { RequestBody, S3Client } from './client.ts'
import { NotThere } from './failure.ts'
import { elements, textOf } from './xml.ts'

/** What a listing and a HEAD say about an object. */
export interface ObjectFacts {
  readonly size: number
  readonly storedAt: Date
}

/** After as many bytes the failures of a read are forgotten, since the read gets on. */
const PROGRESS_BYTES = 1024 * 1024
const KEYS_A_REQUEST = 1000

/** The objects of one bucket, by their keys. The keys need no encoding: see `keyPrefix` of the configuration. */
export class Bucket {
  readonly #client: S3Client

  constructor(client: S3Client) {
    this.#client = client
  }

  /** Stores an object, or replaces it. If the signal is aborted, ends the request, and throws the reason of the signal. */
  async put(key: string, body: RequestBody, signal?: AbortSignal): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' }
    await this.#client.call('PutObject', { method: 'PUT', key, body, headers, signal })
  }

  /** Stores an object if there is none, and returns true if it did. A server that does not know the condition replaces it. */
  async putNew(key: string, body: RequestBody): Promise<boolean> {
    const request = { method: 'PUT', key, body } as const
    try {
      await this.#client.call('PutObject', { ...request, headers: { 'if-none-match': '*' } })
      return true
    } catch (error) {
      const status = statusOf(error)
      if (status === 412) return false
      if (status !== 501) throw error
      await this.#client.call('PutObject', request)
      return true
    }
  }

  /** Returns what is known of an object, or undefined if it does not exist. */
  async head(key: string): Promise<ObjectFacts | undefined> {
    const asked = this.#client.call('HeadObject', { method: 'HEAD', key }).catch((error: unknown) => {
      if (!isUnexplained(error)) throw error
    })
    const reply = await unlessAbsent(asked)
    if (reply) return factsIn(reply.headers)
    // A refusal without a body does not say why: the bucket may be missing, or the clock be wrong. That of a GET does.
    const found = await unlessAbsent(this.#client.open('GetObject', { method: 'GET', key }))
    await found?.close()
    return found && factsIn(found.headers)
  }

  /** Returns the text of a small object, or undefined if it does not exist. */
  async text(key: string): Promise<string | undefined> {
    return (await unlessAbsent(this.#client.call('GetObject', { method: 'GET', key })))?.body
  }

  /**
   * Yields the bytes of an object from `start` up to, but not including, `end`. Goes on after a broken connection. Throws a
   * `NotThere` if the object does not exist. Calls `check` with the length of the whole object before the first byte.
   */
  async *read(key: string, start: number, end: number, check: (size: number) => void): AsyncGenerator<Buffer> {
    const attempts = this.#client.attempts('GetObject')
    let forgivenAt = start
    for (let at = start; at < end; ) {
      const headers = { range: `bytes=${at}-${end - 1}` }
      const reply = await this.#client.open('GetObject', { method: 'GET', key, headers })
      try {
        const size = wholeSize(reply.headers)
        check(size)
        if (reply.status !== 206 && end - at !== size) throw rangeIgnored()
        for await (const chunk of reply.chunks) {
          at += chunk.length
          yield chunk
        }
        if (at < end) throw cutOff()
      } catch (error) {
        if (at - forgivenAt >= PROGRESS_BYTES) {
          attempts.progressed()
          forgivenAt = at
        }
        await attempts.failed(error)
      } finally {
        await reply.close()
      }
    }
  }

  /** Copies an object inside of the bucket. Throws a `NotThere` if it does not exist. */
  async copy(from: string, to: string): Promise<void> {
    const headers = { 'x-amz-copy-source': `/${this.#client.bucket}/${from}` }
    await this.#client.call('CopyObject', { method: 'PUT', key: to, headers })
  }

  /** Removes an object if it exists. */
  async delete(key: string): Promise<void> {
    await unlessAbsent(this.#client.call('DeleteObject', { method: 'DELETE', key }))
  }

  /** Removes many objects, a thousand in a request. */
  async deleteMany(keys: readonly string[]): Promise<void> {
    for (let at = 0; at < keys.length; at += KEYS_A_REQUEST)
      await this.#deleteBatch(keys.slice(at, at + KEYS_A_REQUEST))
  }

  /** Yields the keys that begin with `prefix`, in their order. */
  async *list(prefix: string, { after, limit }: { after?: string | undefined; limit?: number } = {}) {
    const about = { 'list-type': '2', prefix, ...(limit !== undefined && { 'max-keys': String(limit) }) }
    let place: Record<string, string> = after === undefined ? {} : { 'start-after': after }
    for (;;) {
      const { body } = await this.#client.call('ListObjectsV2', { method: 'GET', query: { ...about, ...place } })
      for (const entry of elements(body, 'Contents')) {
        const facts = { size: Number(textOf(entry, 'Size')), storedAt: new Date(textOf(entry, 'LastModified') ?? '') }
        yield { key: textOf(entry, 'Key') ?? '', ...facts }
      }
      const token = textOf(body, 'NextContinuationToken')
      if (textOf(body, 'IsTruncated') !== 'true' || token === undefined || limit !== undefined) return
      place = { 'continuation-token': token }
    }
  }

  async #deleteBatch(keys: readonly string[]): Promise<void> {
    const objects = keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')
    const bytes = Buffer.from(`<Delete><Quiet>true</Quiet>${objects}</Delete>`)
    const headers = { 'content-md5': createHash('md5').update(bytes).digest('base64') }
    const request = { method: 'POST', query: { delete: '' }, headers, body: bodyFrom(bytes) } as const
    try {
      const { body } = await this.#client.call('DeleteObjects', request)
      // What the batch has left is removed one by one, with the retries and the errors of a single request.
      const left = elements(body, 'Error').flatMap((error) => textOf(error, 'Key') ?? [])
      for (const key of left) await this.delete(key)
    } catch (error) {
      if (![405, 501].includes(statusOf(error) ?? 0)) throw error
      for (const key of keys) await this.delete(key)
    }
  }
}

/** Makes a body of bytes in memory. */
export function bodyFrom(bytes: Uint8Array): RequestBody {
  async function* chunks() {
    yield bytes
  }
  return { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length, chunks }
}

/** Returns what the call returns, or undefined if the object does not exist. */
export async function unlessAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (error instanceof NotThere) return undefined
    throw error
  }
}

/** Returns true if the server has refused a request for good, and has not said why. */
function isUnexplained(error: unknown): boolean {
  return (
    error instanceof StorageError &&
    !error.retryable &&
    statusOf(error) !== undefined &&
    !('s3Code' in error.details && error.details.s3Code)
  )
}

/** Returns the HTTP status of the answer that was the reason of an error. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof StorageError) || !('httpStatus' in error.details)) return undefined
  return error.details.httpStatus
}

type Headers = { [name: string]: string | string[] | undefined }

const factsIn = (headers: Headers): ObjectFacts => ({
  size: wholeSize(headers),
  storedAt: new Date(String(headers['last-modified'])),
})

/** Returns the length of the whole object, of which the answer may hold a range. */
function wholeSize(headers: Headers): number {
  const [, total] = /\/(\d+)$/.exec(String(headers['content-range'] ?? '')) ?? []
  return Number(total ?? headers['content-length'])
}

const cutOff = () => Object.assign(new Error('The body was shorter than announced'), { code: 'ECONNRESET' })

const rangeIgnored = () =>
  new StorageError('DATABASE_FAILED', 'The object store ignores the range of a request: it cannot hold blobs')
