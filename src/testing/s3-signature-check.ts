import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** How the server refuses a request: an HTTP status and a code of S3. */
export interface S3Refusal {
  readonly status: number
  readonly code: string
}

export interface S3ServerKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  readonly region: string
}

/** A request as it arrived. */
export interface SignedRequest {
  readonly method: string
  /** The path and the query, encoded. */
  readonly target: URL
  readonly headers: IncomingHttpHeaders
  readonly bodySha256: string
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
/** How far the clocks of a client and of the server may differ. */
const SKEW_MILLIS = 15 * 60_000

/**
 * Checks the signature of a request, in its header or in the query of a presigned URL, without the code that makes
 * signatures. Returns why the request is refused, or undefined if the signature is right.
 */
export function checkSignature(request: SignedRequest, keys: S3ServerKeys, now: Date): S3Refusal | undefined {
  return request.headers.authorization === undefined
    ? checkPresigned(request, keys, now)
    : checkHeader(request, request.headers.authorization, keys, now)
}

function checkHeader(request: SignedRequest, authorization: string, keys: S3ServerKeys, now: Date) {
  const [, credential = '', names = '', signature = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(authorization) ?? []
  const { 'x-amz-content-sha256': bodySha256 = '', 'x-amz-date': date = '' } = request.headers
  const unsigned = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'))
  if (unsigned.some((name) => !names.split(';').includes(name))) return refuse(403, 'AccessDenied')
  const refusal = checkCredential(credential, text(date), keys)
  if (refusal) return refusal
  if (Math.abs(timeOf(text(date)) - now.getTime()) > SKEW_MILLIS) return refuse(403, 'RequestTimeTooSkewed')
  if (text(request.headers['x-amz-security-token'] ?? '') !== (keys.sessionToken ?? ''))
    return refuse(400, 'InvalidToken')
  const expected = signatureOf(request, { names, date: text(date), bodySha256: text(bodySha256) }, keys)
  if (!equal(expected, signature)) return refuse(403, 'SignatureDoesNotMatch')
  return bodySha256 === request.bodySha256 ? undefined : refuse(400, 'XAmzContentSHA256Mismatch')
}

function checkPresigned(request: SignedRequest, keys: S3ServerKeys, now: Date): S3Refusal | undefined {
  const { searchParams } = request.target
  const given = (name: string) => searchParams.get(`X-Amz-${name}`) ?? ''
  const date = given('Date')
  const seconds = Number(given('Expires'))
  if (given('Algorithm') !== ALGORITHM || !(seconds > 0 && seconds <= 604_800)) return refuse(403, 'AccessDenied')
  const refusal = checkCredential(given('Credential'), date, keys)
  if (refusal) return refusal
  const age = now.getTime() - timeOf(date)
  if (age > seconds * 1000 || age < -SKEW_MILLIS) return refuse(403, 'AccessDenied')
  if (given('Security-Token') !== (keys.sessionToken ?? '')) return refuse(400, 'InvalidToken')
  const expected = signatureOf(request, { names: given('SignedHeaders'), date, bodySha256: 'UNSIGNED-PAYLOAD' }, keys)
  return equal(expected, given('Signature')) ? undefined : refuse(403, 'SignatureDoesNotMatch')
}

function checkCredential(credential: string, date: string, { accessKeyId, region }: S3ServerKeys) {
  const [id, day, ofRegion, service, end] = credential.split('/')
  if (id !== accessKeyId) return refuse(403, 'InvalidAccessKeyId')
  if (ofRegion !== region || day !== date.slice(0, 8) || service !== 's3' || end !== 'aws4_request') {
    return refuse(400, 'AuthorizationHeaderMalformed')
  }
  return undefined
}

interface Signed {
  names: string
  date: string
  bodySha256: string
}

function signatureOf(
  { method, target, headers }: SignedRequest,
  { names, date, bodySha256 }: Signed,
  { secretAccessKey, region }: S3ServerKeys,
): string {
  const query = [...target.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&')
  const path = decodeURIComponent(target.pathname).split('/').map(encode).join('/')
  const lines = names.split(';').map((name) => `${name}:${text(headers[name] ?? '').trim()}\n`)
  const canonical = `${method}\n${path}\n${query}\n${lines.join('')}\n${names}\n${bodySha256}`
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`
  const toSign = `${ALGORITHM}\n${date}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`
  let key: Buffer = Buffer.from(`AWS4${secretAccessKey}`)
  for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest()
  return createHmac('sha256', key).update(toSign).digest('hex')
}

/** Encodes every byte but the unreserved characters. */
function encode(decoded: string): string {
  return Array.from(Buffer.from(decoded), (byte) => {
    const char = String.fromCharCode(byte)
    return /[\w.~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
}

const refuse = (status: number, code: string): S3Refusal => ({ status, code })
const text = (value: string | string[]) => String(value)
const timeOf = (date: string) => Date.parse(date.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
const equal = (a: string, b: string) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
