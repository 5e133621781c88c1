import { createHash, createHmac } from 'node:crypto'

/** The keys that sign requests. */
export interface SigningKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** The token of temporary keys. */
  readonly sessionToken?: string | undefined
}

/** What is signed of a request. */
export interface Signable {
  readonly method: string
  /** The host as the server sees it, with the port if the port is not the usual one. */
  readonly host: string
  /** The path with a leading slash, not encoded. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Headers that are signed beside `host` and `x-amz-*`, with lower-case names. */
  readonly headers: Readonly<Record<string, string>>
}

/** Where and when a signature is valid. */
export interface SigningScope {
  readonly region: string
  readonly now: Date
}

const ALGORITHM = 'AWS4-HMAC-SHA256'

/**
 * Returns the headers of a request, signed with Signature Version 4. The signature covers the hash of the body, so that
 * the server refuses a body that was damaged on its way.
 */
export function signedHeaders(
  request: Signable,
  bodySha256: string,
  keys: SigningKeys,
  scope: SigningScope,
): Record<string, string> {
  const { sessionToken } = keys
  const time = timestamp(scope.now)
  const headers: Record<string, string> = {
    ...request.headers,
    host: request.host,
    'x-amz-content-sha256': bodySha256,
    'x-amz-date': time,
    ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
  }
  const { names, signature } = sign({ ...request, headers }, bodySha256, keys, scope)
  const credential = `${keys.accessKeyId}/${scopeOf(scope)}`
  const authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`
  return { ...headers, authorization }
}

/** Returns the query of a presigned URL, which is valid for `expiresSeconds` and signs no header but the host. */
export function presignedQuery(
  request: Omit<Signable, 'headers'>,
  expiresSeconds: number,
  keys: SigningKeys,
  scope: SigningScope,
): string {
  const query = {
    ...request.query,
    'X-Amz-Algorithm': ALGORITHM,
    'X-Amz-Credential': `${keys.accessKeyId}/${scopeOf(scope)}`,
    'X-Amz-Date': timestamp(scope.now),
    'X-Amz-Expires': String(expiresSeconds),
    'X-Amz-SignedHeaders': 'host',
    ...(keys.sessionToken !== undefined && { 'X-Amz-Security-Token': keys.sessionToken }),
  }
  const signable = { ...request, query, headers: { host: request.host } }
  const { signature } = sign(signable, 'UNSIGNED-PAYLOAD', keys, scope)
  return `${canonicalQuery(query)}&X-Amz-Signature=${signature}`
}

/** Encodes everything but unreserved characters (RFC 3986). */
export function encodeComponent(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Encodes a path, but not its slashes. S3 encodes a path once, unlike the other services of AWS. */
export const encodePath = (path: string): string => path.split('/').map(encodeComponent).join('/')

/** Returns the query in the order and the encoding in which it is signed. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => [encodeComponent(name), encodeComponent(value)] as const)
  // By the names alone: "=" would come after the "%" of a longer name.
  return pairs
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&')
}

function sign(request: Signable, bodySha256: string, { secretAccessKey }: SigningKeys, scope: SigningScope) {
  const headers = Object.entries(request.headers).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const names = headers.map(([name]) => name).join(';')
  const canonical = [
    request.method,
    encodePath(request.path),
    canonicalQuery(request.query),
    ...headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, ' ')}`),
    '',
    names,
    bodySha256,
  ].join('\n')
  const toSign = [ALGORITHM, timestamp(scope.now), scopeOf(scope), sha256(canonical)].join('\n')
  const key = [day(scope.now), scope.region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (key, part) => hmac(key, part),
    `AWS4${secretAccessKey}`,
  )
  return { names, signature: hmac(key, toSign).toString('hex') }
}

const scopeOf = ({ region, now }: SigningScope) => `${day(now)}/${region}/s3/aws4_request`
const timestamp = (now: Date) => now.toISOString().replace(/[-:]|\.\d{3}/g, '')
const day = (now: Date) => timestamp(now).slice(0, 8)
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
