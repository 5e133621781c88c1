import { createHash } from 'node:crypto'
import type { Agent, IncomingMessage } from 'node:http'
import { StorageError } from '../../../errors.ts'
import { Attempts } from './attempts.ts'
import { bodyOf, exchange, Overdue, type Transport } from './exchange.ts'
import { Failure, type Operation, type Refusal } from './failure.ts'
import type { KeySource } from './keys.ts'
import { canonicalQuery, encodePath, presignedQuery, type SigningKeys, signedHeaders } from './signature.ts'
import { Slots } from './slots.ts'
import { textOf } from './xml.ts'

export interface S3ClientOptions {
  readonly bucket: string
  readonly region: string
  /** The server, with the scheme. */
  readonly endpoint: URL
  /** What sends requests to `endpoint`. */
  readonly transport: Transport
  /** The bucket is in the path of a request, and not in its host. */
  readonly forcePathStyle: boolean
  readonly keys: KeySource
  /** How many requests are under way at once. */
  readonly maxConnections: number
  /** How long an unused connection stays open. */
  readonly idleTimeoutMillis: number
  /** Longest wait for a connection. */
  readonly connectionTimeoutMillis: number
  /** Longest wait for the next bytes, and for an answer. */
  readonly requestTimeoutMillis: number
  /** How often a request is sent at most. */
  readonly maxAttempts: number
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD'
  /** The key of the object. Undefined for a request about the bucket. */
  readonly key?: string | undefined
  readonly query?: Readonly<Record<string, string>> | undefined
  /** Signed headers, with lower-case names. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: RequestBody | undefined
  readonly signal?: AbortSignal | undefined
}

/** A body that can be sent again. */
export interface RequestBody {
  readonly sha256: string
  readonly size: number
  chunks(): AsyncIterable<Uint8Array>
}

/** An answer of the server whose body was read to its end. */
export interface Reply {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A successful answer whose body is still to be read. */
export interface OpenReply {
  readonly headers: IncomingMessage['headers']
  readonly status: number
  readonly chunks: AsyncIterable<Buffer>
  /** Gives the connection back. If the body was not read to its end, ends the connection. Safe to repeat. */
  close(): Promise<void>
}

const EMPTY_SHA256 = createHash('sha256').digest('hex')
/** Smaller differences of the clocks are ignored: the server tells whole seconds, and its answer takes time. */
const TOLERATED_SKEW_MILLIS = 5000
/** No document of S3 that is read whole is larger. */
const LARGEST_DOCUMENT = 8 * 1024 * 1024

/**
 * Sends signed requests to one bucket. Every wait is bounded. What fails for a passing reason is sent again, up to
 * `maxAttempts` times: everything that is sent may be repeated.
 */
export class S3Client {
  readonly bucket: string
  readonly #options: S3ClientOptions
  readonly #agent: Agent
  readonly #slots: Slots
  /** What the clock of the server is ahead of this one, in milliseconds. */
  #skew = 0
  #isClosed = false

  constructor(options: S3ClientOptions) {
    this.bucket = options.bucket
    this.#options = options
    this.#slots = new Slots(options.maxConnections)
    const settings = { keepAlive: true, maxFreeSockets: options.maxConnections, timeout: options.idleTimeoutMillis }
    this.#agent = new options.transport.Agent(settings)
  }

  /**
   * Sends a request and reads the answer.
   *
   * @throws {CLOSED} when the client is closed.
   */
  call(operation: Operation, request: S3Request): Promise<Reply> {
    return this.#attempt(operation, request, async () => {
      const { headers, chunks, close } = await this.#begin(request)
      try {
        const body = await textIn(chunks)
        // A long operation has sent its 200 before it failed.
        if (operation === 'CopyObject' && textOf(body, 'Code') !== undefined)
          throw refused({ statusCode: 500, headers }, body)
        return { headers, body }
      } finally {
        await close()
      }
    })
  }

  /**
   * Sends a request and returns the answer before its body.
   *
   * @throws {CLOSED} when the client is closed.
   */
  open(operation: Operation, request: S3Request): Promise<OpenReply> {
    return this.#attempt(operation, request, () => this.#begin(request))
  }

  /** Returns what decides on failures: of a request, or of the requests that together read one object. */
  attempts(operation: Operation, signal?: AbortSignal): Attempts {
    const { bucket, region, endpoint, keys, maxAttempts, requestTimeoutMillis } = this.#options
    return new Attempts({
      operation,
      target: { bucket, region, origin: endpoint.origin },
      maxAttempts,
      giveUpMillis: 2 * requestTimeoutMillis,
      signal,
      checkOpen: () => this.#checkOpen(),
      renewKeys: () => keys.renew(),
    })
  }

  /** Returns a URL that anybody may GET for so many seconds. */
  async presign(key: string, query: Readonly<Record<string, string>>, expiresSeconds: number): Promise<string> {
    this.#checkOpen()
    const { host, path } = this.#place(key)
    const keys = await this.#options.keys.get(this.#now())
    const signed = presignedQuery({ method: 'GET', host, path, query }, expiresSeconds, keys, this.#scope())
    return `${this.#options.endpoint.protocol}//${host}${encodePath(path)}?${signed}`
  }

  /** Ends the connections. Requests under way fail with CLOSED. */
  close(): void {
    this.#isClosed = true
    this.#options.keys.close()
    this.#agent.destroy()
  }

  async #attempt<T>(operation: Operation, request: S3Request, once: () => Promise<T>): Promise<T> {
    const attempts = this.attempts(operation, request.signal)
    for (;;) {
      this.#checkOpen()
      try {
        return await once()
      } catch (error) {
        await attempts.failed(error)
      }
    }
  }

  async #begin(request: S3Request): Promise<OpenReply> {
    const { connectionTimeoutMillis: connectMillis, requestTimeoutMillis: idleMillis } = this.#options
    const keys = await this.#options.keys.get(this.#now(), request.signal)
    this.#checkOpen()
    const release = await this.#slots.acquire(connectMillis, request.signal)
    if (release === undefined) throw new Overdue('connection', connectMillis)
    try {
      const answer = await exchange(this.#options.transport, this.#agent, this.#signed(request, keys), {
        connectMillis,
        idleMillis,
      })
      const chunks = bodyOf(answer, Number(answer.headers['content-length'] ?? LARGEST_DOCUMENT), idleMillis)
      const { statusCode: status = 0, headers } = answer
      this.#noteTime(headers.date)
      if (status < 200 || status >= 300) throw refused(answer, await textIn(chunks))
      const close = async () => {
        await chunks.return(undefined)
        answer.destroy() // for a body of which nothing was read
        release()
      }
      return { status, headers, chunks, close }
    } catch (error) {
      release()
      throw error
    }
  }

  #signed({ method, key, query = {}, headers = {}, body, signal }: S3Request, keys: SigningKeys) {
    const { host, path } = this.#place(key)
    const all = { ...headers, ...(body && { 'content-length': String(body.size) }) }
    const signable = { method, host, path, query, headers: all }
    const search = canonicalQuery(query)
    return {
      method,
      url: new URL(`${this.#options.endpoint.protocol}//${host}`),
      target: `${encodePath(path)}${search && `?${search}`}`,
      headers: signedHeaders(signable, body?.sha256 ?? EMPTY_SHA256, keys, this.#scope()),
      body: body && body.size > 0 ? () => body.chunks() : undefined,
      signal,
    }
  }

  #place(key: string | undefined): { host: string; path: string } {
    const { endpoint, bucket, forcePathStyle } = this.#options
    const base = endpoint.pathname.replace(/\/+$/, '')
    const object = key === undefined ? '' : `/${key}`
    if (forcePathStyle) return { host: endpoint.host, path: `${base}/${bucket}${object}` }
    return { host: `${bucket}.${endpoint.host}`, path: `${base}${object || '/'}` }
  }

  #scope() {
    return { region: this.#options.region, now: this.#now() }
  }

  /** Returns the time of the server. */
  #now(): Date {
    return new Date(Date.now() + this.#skew)
  }

  /** Takes over the server's time, or else a URL would expire early or late if the clock of this machine is wrong. */
  #noteTime(date = ''): void {
    const skew = Date.parse(date) - Date.now()
    if (Math.abs(skew - this.#skew) >= TOLERATED_SKEW_MILLIS) this.#skew = skew
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StorageError('CLOSED', 'The blob store was closed')
  }
}

async function textIn(chunks: AsyncIterable<Buffer>): Promise<string> {
  const read: Buffer[] = []
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > LARGEST_DOCUMENT) throw new Failure({ refusal: { status: 502, s3Code: 'AnswerTooLarge' } })
    read.push(chunk)
  }
  return Buffer.concat(read).toString('utf8')
}

function refused({ statusCode = 0, headers }: Pick<IncomingMessage, 'statusCode' | 'headers'>, body: string): Failure {
  const seconds = Number(headers['retry-after'])
  const region = textOf(body, 'Region') ?? headers['x-amz-bucket-region']
  const refusal: Refusal = {
    status: statusCode,
    s3Code: textOf(body, 'Code')?.replace(/\W/g, '').slice(0, 64) ?? '',
    requestId: textOf(body, 'RequestId') ?? (String(headers['x-amz-request-id'] ?? '') || undefined),
    region: region === undefined ? undefined : String(region).replace(/[^\w-]/g, ''),
    ...(seconds > 0 && { retryAfterMillis: seconds * 1000 }),
  }
  return new Failure({ refusal })
}
