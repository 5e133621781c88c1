import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** What makes connections and sends requests. */
export type Transport = typeof import('node:http') | typeof import('node:https')

/** Loads what an address needs. Both take long to load, and no other store needs them. */
export function transportOf(address: string): Promise<Transport> {
  return new URL(address).protocol === 'https:' ? import('node:https') : import('node:http')
}

/** One HTTP request. */
export interface Exchange {
  readonly method: string
  readonly url: URL
  /** The path and the query as they are sent, which are those that were signed. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  /** Yields the body, which has `content-length` bytes. */
  readonly body?: (() => AsyncIterable<Uint8Array>) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ExchangeLimits {
  /** Longest wait for a connection. */
  readonly connectMillis: number
  /** Longest wait for the next bytes. */
  readonly idleMillis: number
}

/** What did not come in time. */
export class Overdue extends Error {
  override readonly name = 'Overdue'
  readonly what: 'connection' | 'answer' | 'bytes'

  constructor(what: Overdue['what'], millis: number) {
    super(`no ${what} within ${millis} ms`)
    this.what = what
  }
}

/** A transfer that is slower than this is given up, even if it never stops: so every transfer has an end. */
const SLOWEST_BYTES_A_MILLI = 16

/**
 * Bounds the waits of a transfer: each by `idleMillis`, and all together by the time that the slowest acceptable
 * connection takes. Time that passes between two waits, such as in the consumer of a stream, does not count.
 */
export class Patience {
  readonly #idleMillis: number
  #left: number

  constructor(idleMillis: number, bytes: number) {
    this.#idleMillis = idleMillis
    this.#left = 2 * idleMillis + bytes / SLOWEST_BYTES_A_MILLI
  }

  /** Runs one wait. Calls `giveUp` if it takes too long, which must end the wait. */
  async bounded<T>(wait: () => Promise<T>, giveUp: (error: Overdue) => void): Promise<T> {
    const begun = performance.now()
    const millis = Math.max(0, Math.min(this.#idleMillis, this.#left))
    const timer = setTimeout(() => giveUp(new Overdue('bytes', Math.round(millis))), millis)
    try {
      return await wait()
    } finally {
      clearTimeout(timer)
      this.#left -= performance.now() - begun
    }
  }
}

/**
 * Sends a request and returns the answer as soon as its headers are there. Whoever takes the answer reads its body with
 * `bodyOf`, or destroys it. An answer that comes before the whole body was sent ends the sending.
 */
export function exchange(
  { request: send }: Transport,
  agent: Agent,
  { headers, ...given }: Exchange,
  limits: ExchangeLimits,
): Promise<IncomingMessage> {
  const { method, url, target, body, signal } = given
  return new Promise((resolve, reject) => {
    const host = addressOf(url.hostname)
    const request = send({ agent, method, host, port: url.port, path: target, headers, signal })
    const fail = (error: unknown) => {
      clearTimeout(timer)
      reject(error)
      request.destroy()
    }
    const expect = (what: Overdue['what'], millis: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => fail(new Overdue(what, millis)), millis)
    }
    let timer: NodeJS.Timeout | undefined
    expect('connection', limits.connectMillis)
    request.once('error', fail)
    request.once('response', (answer) => {
      clearTimeout(timer)
      if (!request.writableEnded) answer.once('end', () => request.destroy()) // the server did not want the rest
      resolve(answer)
    })
    const connected = () => {
      if (body === undefined) {
        request.end()
        return expect('answer', limits.idleMillis)
      }
      clearTimeout(timer)
      sendBody(request, body(), new Patience(limits.idleMillis, Number(headers['content-length'])), fail).then(
        (isSent) => isSent && expect('answer', limits.idleMillis),
        fail,
      )
    }
    request.once('socket', (socket: Socket) => {
      if (socket.connecting) socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected)
      else connected() // it was used before
    })
  })
}

/** Returns the name that the resolver is asked for. Many resolvers do not know the names below localhost (RFC 6761). */
function addressOf(hostname: string): string {
  if (hostname.endsWith('.localhost')) return 'localhost'
  return hostname.replace(/^\[|\]$/g, '') // a literal IPv6 address has brackets in a URL
}

/** Writes the body. Returns false if the answer came first. */
async function sendBody(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array>,
  patience: Patience,
  giveUp: (error: Overdue) => void,
): Promise<boolean> {
  let answered = false
  request.once('response', () => {
    answered = true
  })
  for await (const chunk of body) {
    if (answered || request.destroyed) return false
    if (!request.write(chunk)) await patience.bounded(() => drained(request), giveUp)
  }
  if (answered || request.destroyed) return false
  request.end()
  return true
}

/** Waits until the request takes more bytes, was answered, or is gone. */
function drained(request: ClientRequest): Promise<void> {
  const events = ['drain', 'response', 'close', 'error'] as const
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) request.off(event, done)
      resolve()
    }
    for (const event of events) request.on(event, done)
  })
}

/** Yields the body of an answer in the chunks in which it arrives. Fails if the connection ends before the body does. */
export async function* bodyOf(answer: IncomingMessage, bytes: number, idleMillis: number): AsyncGenerator<Buffer> {
  const chunks: AsyncIterator<Buffer> = answer[Symbol.asyncIterator]()
  const patience = new Patience(idleMillis, bytes)
  let overdue: Overdue | undefined
  try {
    for (;;) {
      const next = await patience.bounded(
        () => chunks.next(),
        (error) => {
          overdue = error
          answer.destroy(error)
        },
      )
      if (next.done) return
      yield next.value
    }
  } catch (error) {
    throw overdue ?? error
  } finally {
    answer.destroy() // does nothing after the end: the connection is used again
  }
}
