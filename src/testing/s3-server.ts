import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { LONGEST_DELAY_MILLIS } from './faults.ts'
import { escapeXml, operationOf, perform, type S3Answer, type S3Object } from './s3-objects.ts'
import { checkSignature, type S3Refusal } from './s3-signature-check.ts'

/** A request for which a fault may be chosen. */
export interface S3ServerRequest {
  /** The operation of S3, such as `PutObject`. */
  readonly operation: string
  /** The key of the object. Empty for a request about the bucket. */
  readonly key: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** How the server fails. What is not given goes as usual. */
export interface S3Fault {
  /** Waits this many milliseconds before the answer. */
  readonly delayMillis?: number
  /** Does nothing, and refuses, or ends the connection, or never answers. */
  readonly before?: S3Refusal | 'reset' | 'stall'
  /** Does what was asked for, and then refuses, or ends the connection, or never answers. */
  readonly after?: S3Refusal | 'reset' | 'stall'
  /** Ends the connection after so many bytes of the body. */
  readonly cutAt?: number
  /** Sends nothing more after so many bytes of the body. */
  readonly stallAt?: number
  /** Does what was asked for once more, so many milliseconds later, as if the network had kept a copy. */
  readonly againAfterMillis?: number
}

export interface S3ServerOptions {
  /** Default `holdfast`. */
  readonly bucket?: string | undefined
  /** Default `us-east-1`. */
  readonly region?: string | undefined
  /** Default `test-key`. */
  readonly accessKeyId?: string | undefined
  /** Default `test-secret`. */
  readonly secretAccessKey?: string | undefined
  /** The token that requests must have. Default: none. */
  readonly sessionToken?: string | undefined
  /** The port on 127.0.0.1. Default: a free one. */
  readonly port?: number | undefined
  /** The clock of the server. Default: the clock of this machine. */
  readonly now?: (() => Date) | undefined
  /** How many keys a page of a listing has at most. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Whether the server understands `If-None-Match` of a put, as AWS does. Default true. */
  readonly conditionalPuts?: boolean | undefined
  /** Chooses how a request fails. Default: none fails. If it throws, the answer is TestFailed with what it has thrown. */
  readonly fault?: ((request: S3ServerRequest) => S3Fault | undefined) | undefined
}

/** A running server. */
export interface S3Server {
  /** Such as `http://127.0.0.1:41234`. */
  readonly endpoint: string
  /** What the configuration of a blob store needs to use the server. */
  readonly config: {
    type: 's3'
    bucket: string
    region: string
    endpoint: string
    accessKeyId: string
    secretAccessKey: string
    sessionToken?: string
  }
  /** The objects, by their keys. A test may change them. */
  readonly objects: Map<string, S3Object>
  /** How many requests of each operation were served, refused ones too. */
  readonly counts: Readonly<Record<string, number>>
  /** Ends the server and its connections. */
  close(): Promise<void>
}

/**
 * Starts a small server that speaks the protocol of S3 and keeps one bucket in memory, to test how a program handles a
 * bucket that fails. It checks signatures and the hashes of bodies, and serves what a blob store asks for: PutObject,
 * GetObject with ranges, HeadObject, CopyObject, DeleteObject, DeleteObjects, ListObjectsV2 and presigned URLs.
 *
 * @example
 * ```ts
 * import { startS3Server } from 'holdfast/testing'
 * const slowDown = { before: { status: 503, code: 'SlowDown' } }
 * const server = await startS3Server({ fault: () => (Math.random() < 0.1 ? slowDown : undefined) })
 * console.log(server.config.endpoint) // http://127.0.0.1:41234
 * await server.close()
 * ```
 */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const settings = {
    bucket: 'holdfast',
    region: 'us-east-1',
    accessKeyId: 'test-key',
    secretAccessKey: 'test-secret',
    pageSize: 1000,
    conditionalPuts: true,
    now: () => new Date(),
    ...defined(options),
  }
  const objects = new Map<string, S3Object>()
  const counts: Record<string, number> = {}
  const served: Served = { settings, objects, counts }
  const server = createServer((request, response) => {
    serve(served, request, response).catch((error: unknown) => failed(error, request, response, settings))
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.keepAliveTimeout = 5000
  await once(server.listen(settings.port ?? 0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // it listens on a port, not on a pipe
  const endpoint = `http://127.0.0.1:${port}`
  const { bucket, region, accessKeyId, secretAccessKey, sessionToken } = settings
  return {
    endpoint,
    config: {
      type: 's3',
      bucket,
      region,
      endpoint,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
    },
    objects,
    counts,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

type Settings = S3ServerOptions &
  Required<Pick<S3ServerOptions, 'bucket' | 'region' | 'accessKeyId' | 'secretAccessKey' | 'now' | 'pageSize'>> & {
    conditionalPuts: boolean
  }

interface Served {
  readonly settings: Settings
  readonly objects: Map<string, S3Object>
  readonly counts: Record<string, number>
}

async function serve({ settings, objects, counts }: Served, request: IncomingMessage, response: ServerResponse) {
  const { headers, method = 'GET' } = request
  const body = await readAll(request)
  const target = new URL(request.url ?? '/', `http://${headers.host}`)
  const { bucket, key } = placeOf(target, settings)
  const operation = operationOf(method, key, target.searchParams, headers) ?? 'Unknown'
  counts[operation] = (counts[operation] ?? 0) + 1
  const { before, after, cutAt, stallAt, delayMillis, againAfterMillis } =
    settings.fault?.({ operation, key, headers }) ?? {}
  const fail = (fault: S3Refusal | 'reset' | 'stall') => {
    if (fault === 'reset') response.destroy()
    if (typeof fault === 'object') send(response, method, refusal(fault, settings))
  }
  if (delayMillis !== undefined) await sleep(Math.min(delayMillis, LONGEST_DELAY_MILLIS), undefined, { ref: false })
  if (before !== undefined) return fail(before)

  const bodySha256 = createHash('sha256').update(body).digest('hex')
  const signed = { method, target, headers, bodySha256 }
  const refused =
    checkSignature(signed, settings, settings.now()) ??
    (bucket === settings.bucket ? undefined : { status: 404, code: 'NoSuchBucket' }) ??
    (operation === 'Unknown' ? { status: 501, code: 'NotImplemented' } : undefined)
  if (refused) return fail(refused)
  const call = { operation, key, query: target.searchParams, headers, body }
  const result = perform(objects, call, settings)
  if (againAfterMillis !== undefined) {
    setTimeout(() => perform(objects, call, settings), againAfterMillis).unref()
  }
  if (after !== undefined) return fail(after)
  const answer = 'code' in result ? refusal(result, settings) : result
  send(response, method, answer, { date: settings.now().toUTCString(), cutAt, stallAt })
}

/** Answers a request whose fault could not be chosen, or whose target is no URL, so that a test says why it fails. */
function failed(error: unknown, { method = 'GET' }: IncomingMessage, response: ServerResponse, settings: Settings) {
  if (response.headersSent) return void response.destroy()
  const reason = `The test server cannot answer: ${error}`
  send(response, method, refusal({ status: 500, code: 'TestFailed' }, settings, reason))
}

/** Returns what a request is about: the bucket is in its host, or else in its path. */
function placeOf({ hostname, pathname }: URL, { bucket }: Settings): { bucket: string; key: string } {
  const path = decodeURIComponent(pathname).slice(1)
  if (hostname.startsWith(`${bucket}.`)) return { bucket, key: path }
  const [first = '', ...rest] = path.split('/')
  return { bucket: first, key: rest.join('/') }
}

function refusal({ status, code }: S3Refusal, { region, now }: Settings, reason = ''): S3Answer {
  const where =
    code === 'AuthorizationHeaderMalformed' || code === 'PermanentRedirect' ? `<Region>${region}</Region>` : ''
  const why = reason === '' ? '' : `<Message>${escapeXml(reason)}</Message>`
  const facts = `<Code>${code}</Code>${why}${where}<RequestId>1</RequestId>`
  const body = Buffer.from(`<?xml version="1.0"?>\n<Error>${facts}</Error>`)
  return { status, headers: { 'content-type': 'application/xml', date: now().toUTCString() }, body }
}

interface SendOptions {
  date?: string
  cutAt?: number | undefined
  stallAt?: number | undefined
}

function send(response: ServerResponse, method: string, answer: S3Answer, options: SendOptions = {}): void {
  const { date, cutAt, stallAt } = options
  const length = String(answer.body.length)
  response.writeHead(answer.status, {
    ...answer.headers,
    ...(date !== undefined && { date }),
    'content-length': length,
  })
  if (method === 'HEAD') return void response.end()
  const sent = Math.min(cutAt ?? stallAt ?? answer.body.length, answer.body.length)
  if (cutAt === undefined && stallAt === undefined) return void response.end(answer.body)
  response.write(answer.body.subarray(0, sent), () => {
    if (cutAt !== undefined) response.destroy()
  })
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const expected = Number(request.headers['content-length'] ?? 0)
  const all = Buffer.allocUnsafeSlow(expected)
  let at = 0
  for await (const chunk of request) at += chunk.copy(all, at)
  return all.subarray(0, at)
}

/** Returns the options that have a value, so that the others have their default. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> } // the keys of options
}
