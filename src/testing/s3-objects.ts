import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { S3Refusal } from './s3-signature-check.ts'

/** An object in the memory of the server. */
export interface S3Object {
  readonly bytes: Buffer
  readonly storedAt: Date
}

/** A request to the bucket, as the operations take it. */
export interface S3Call {
  readonly operation: string
  /** The key of the object. Empty for a request about the bucket. */
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface S3Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface S3BucketOptions {
  readonly bucket: string
  readonly now: () => Date
  /** How many keys a page of a listing has at most. */
  readonly pageSize: number
  /** Whether `If-None-Match` of a put is understood. */
  readonly conditionalPuts: boolean
}

/** Returns the name of the operation that a request asks for, or undefined if the server has none. */
export function operationOf(method: string, key: string, query: URLSearchParams, headers: IncomingHttpHeaders) {
  if (key === '') {
    if (method === 'GET' && query.get('list-type') === '2') return 'ListObjectsV2'
    return method === 'POST' && query.has('delete') ? 'DeleteObjects' : undefined
  }
  // Others, such as `acl` and `uploadId`, ask for something else than the object.
  if ([...query.keys()].some((name) => !/^(x-id$|x-amz-|response-)/i.test(name))) return undefined
  if (method === 'PUT') return headers['x-amz-copy-source'] === undefined ? 'PutObject' : 'CopyObject'
  return { GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method]
}

/** Does what a request asks for. Returns the answer, or why the request is refused. */
export function perform(objects: Map<string, S3Object>, call: S3Call, options: S3BucketOptions): S3Answer | S3Refusal {
  switch (call.operation) {
    case 'PutObject':
      return put(objects, call, options)
    case 'CopyObject':
      return copy(objects, call, options)
    case 'DeleteObject':
      objects.delete(call.key)
      return answer(204)
    case 'DeleteObjects':
      return deleteMany(objects, call)
    case 'ListObjectsV2':
      return list(objects, call, options)
    default:
      return get(objects, call)
  }
}

function put(objects: Map<string, S3Object>, { key, headers, body }: S3Call, options: S3BucketOptions) {
  if (headers['if-none-match'] !== undefined) {
    if (!options.conditionalPuts) return { status: 501, code: 'NotImplemented' }
    if (objects.has(key)) return { status: 412, code: 'PreconditionFailed' }
  }
  objects.set(key, { bytes: body, storedAt: options.now() })
  return answer(200, { etag: etagOf(body) })
}

function copy(objects: Map<string, S3Object>, { key, headers }: S3Call, { bucket, now }: S3BucketOptions) {
  const source = decodeURIComponent(String(headers['x-amz-copy-source'])).replace(/^\//, '')
  const found = source.startsWith(`${bucket}/`) ? objects.get(source.slice(bucket.length + 1)) : undefined
  if (!found) return { status: 404, code: 'NoSuchKey' }
  objects.set(key, { bytes: found.bytes, storedAt: now() })
  return answer(200, {}, `<CopyObjectResult><ETag>${etagOf(found.bytes)}</ETag></CopyObjectResult>`)
}

function get(objects: Map<string, S3Object>, { key, headers, query }: S3Call): S3Answer | S3Refusal {
  const found = objects.get(key)
  if (!found) return { status: 404, code: 'NoSuchKey' }
  const { bytes, storedAt } = found
  const overrides = Object.fromEntries(
    ['content-disposition', 'content-type'].flatMap((name) => {
      const value = query.get(`response-${name}`)
      return value === null ? [] : [[name, value]]
    }),
  )
  const facts = {
    'accept-ranges': 'bytes',
    'content-type': 'binary/octet-stream',
    etag: etagOf(bytes),
    'last-modified': storedAt.toUTCString(),
    ...overrides,
  }
  const [, from, to = ''] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  if (from === undefined) return { status: 200, headers: facts, body: bytes }
  const start = Number(from)
  if (start >= bytes.length) return { status: 416, code: 'InvalidRange' }
  const part = bytes.subarray(start, to === '' ? bytes.length : Number(to) + 1)
  const range = `bytes ${start}-${start + part.length - 1}/${bytes.length}`
  return { status: 206, headers: { ...facts, 'content-range': range }, body: part }
}

function deleteMany(objects: Map<string, S3Object>, { body, headers }: S3Call) {
  const md5 = createHash('md5').update(body).digest('base64')
  if (headers['content-md5'] !== md5) return { status: 400, code: 'BadDigest' }
  const keys = [...body.toString('utf8').matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => key)
  if (keys.length === 0 || keys.length > 1000) return { status: 400, code: 'MalformedXML' }
  for (const key of keys) objects.delete(key)
  return answer(200, {}, '<DeleteResult></DeleteResult>')
}

function list(objects: Map<string, S3Object>, { query }: S3Call, { bucket, pageSize }: S3BucketOptions) {
  const prefix = query.get('prefix') ?? ''
  const token = query.get('continuation-token')
  const after = token === null ? (query.get('start-after') ?? '') : Buffer.from(token, 'base64').toString('utf8')
  const most = Math.min(Number(query.get('max-keys') ?? 1000), pageSize)
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort()
  const page = keys.slice(0, most)
  const last = page.at(-1)
  const contents = page.map((key) => {
    const { bytes, storedAt } = objects.get(key) ?? { bytes: Buffer.of(), storedAt: new Date(0) }
    return `<Contents><Key>${escapeXml(key)}</Key><LastModified>${storedAt.toISOString()}</LastModified><Size>${bytes.length}</Size></Contents>`
  })
  const next = Buffer.from(last ?? '').toString('base64')
  const rest =
    keys.length > page.length && last !== undefined
      ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${next}</NextContinuationToken>`
      : '<IsTruncated>false</IsTruncated>'
  const facts = `<Name>${bucket}</Name><Prefix>${escapeXml(prefix)}</Prefix><KeyCount>${page.length}</KeyCount>`
  return answer(200, {}, `<ListBucketResult>${facts}${rest}${contents.join('')}</ListBucketResult>`)
}

function answer(status: number, headers: Record<string, string> = {}, xml = ''): S3Answer {
  if (xml === '') return { status, headers, body: Buffer.of() }
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`)
  return { status, headers: { 'content-type': 'application/xml', ...headers }, body }
}

const etagOf = (bytes: Buffer) => `"${createHash('md5').update(bytes).digest('hex')}"`
export const escapeXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
