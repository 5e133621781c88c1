import { codeOf } from '../../../caught.ts'
import { type CodeWith, type ObjectErrorDetails, StorageError } from '../../../errors.ts'
import { Overdue } from './exchange.ts'

/** An operation of S3, and the permissions that it needs. */
export const PERMISSIONS = {
  PutObject: ['s3:PutObject'],
  GetObject: ['s3:GetObject'],
  HeadObject: ['s3:GetObject'],
  CopyObject: ['s3:GetObject', 's3:PutObject'],
  DeleteObject: ['s3:DeleteObject'],
  DeleteObjects: ['s3:DeleteObject'],
  ListObjectsV2: ['s3:ListBucket'],
} as const satisfies Record<string, readonly string[]>

export type Operation = keyof typeof PERMISSIONS

/** An answer of the server that is no success. */
export interface Refusal {
  readonly status: number
  /** The code in the body, such as `NoSuchBucket`. Empty if the answer has no body. */
  readonly s3Code: string
  readonly requestId?: string | undefined
  /** The region of the bucket, if the server names it. */
  readonly region?: string | undefined
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfterMillis?: number | undefined
}

/** Why one attempt failed: the server refused, or no whole answer arrived. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly refusal: Refusal | undefined

  constructor(reason: { refusal: Refusal } | { cause: unknown }) {
    super('the attempt failed', 'cause' in reason ? { cause: reason.cause } : undefined)
    this.refusal = 'refusal' in reason ? reason.refusal : undefined
  }
}

/** Thrown inside of the backend for an object that does not exist. */
export class NotThere extends Error {
  override readonly name = 'NotThere'
}

/** Returns true if the object does not exist. The answer to a HEAD has no code, so the bucket may be missing as well. */
export const isAbsent = ({ refusal }: Failure): boolean =>
  refusal?.status === 404 && (refusal.s3Code === 'NoSuchKey' || refusal.s3Code === '')

/** Codes with a status that is no reason to try again, and that are one. */
const PASSING = new Set([
  'BadDigest',
  'ConditionalRequestConflict',
  'IncompleteBody',
  'InternalError',
  'OperationAborted',
  'RequestTimeout',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'XAmzContentSHA256Mismatch',
])

const NETWORK = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
])

/** Returns true if the same request may succeed later. Everything that is sent may be repeated. */
export function isPassing({ refusal, cause }: Failure): boolean {
  if (refusal === undefined) {
    const code = codeOf(cause) ?? ''
    return cause instanceof Overdue || NETWORK.has(code) || code.startsWith('HPE_')
  }
  const { status, s3Code } = refusal
  if (isQuota(refusal)) return false
  return [408, 409, 425, 429].includes(status) || (status >= 500 && status !== 501) || PASSING.has(s3Code)
}

/** Returns true if the server refuses the time of a signature. */
export const isSkewed = ({ refusal }: Failure): boolean => refusal?.s3Code === 'RequestTimeTooSkewed'

/** Returns true if temporary keys have expired. */
export const isExpired = ({ refusal }: Failure): boolean =>
  refusal !== undefined && ['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired'].includes(refusal.s3Code)

function isQuota({ status, s3Code }: Refusal): boolean {
  return status === 507 || /quota|storagefull|InsufficientCapacity/i.test(s3Code)
}

/** Where a request went. */
export interface Target {
  readonly bucket: string
  readonly region: string
  /** Scheme, host and port. */
  readonly origin: string
}

/**
 * Returns the StorageError of the last attempt. Its message names no key, no header and nothing that the server wrote but
 * codes.
 */
export function storageError(failure: Failure, operation: Operation, target: Target): StorageError {
  return failure.refusal === undefined
    ? networkError(failure.cause, operation, target)
    : refusalError(failure.refusal, operation, target)
}

function networkError(cause: unknown, operation: Operation, { bucket, origin }: Target): StorageError {
  const errno = codeOf(cause)
  const details = { bucket, step: operation, ...(errno !== undefined && { errno }) }
  const options = { cause, details, retryable: true }
  const place = `(${operation} in bucket ${bucket})`
  if (cause instanceof Overdue) {
    return new StorageError('TIMEOUT', `The object store ${origin} gave ${cause.message} ${place}`, options)
  }
  if (errno !== undefined && ['ECONNRESET', 'EPIPE', 'ECONNABORTED'].includes(errno)) {
    return new StorageError('CONNECTION_FAILED', `The object store ${origin} ended the connection ${place}`, options)
  }
  const retryable = isPassing(new Failure({ cause }))
  const message = `The object store ${origin} cannot be reached (${errno ?? 'unknown reason'}): check blobStore.endpoint and the network`
  return new StorageError('CONNECTION_FAILED', message, { cause, details, retryable })
}

type Meaning = readonly [code: CodeWith<ObjectErrorDetails>, message: (refusal: Refusal, target: Target) => string]

const KEYS: Meaning = [
  'CONNECTION_FAILED',
  ({ s3Code }) => `The object store does not accept the access key (${s3Code}): check the keys of blobStore`,
]
const REGION: Meaning = [
  'CONNECTION_FAILED',
  ({ region }, target) =>
    region === undefined
      ? `The bucket ${target.bucket} is not in the region ${target.region}: check blobStore.region and endpoint`
      : `The bucket ${target.bucket} is in the region ${region}, not in ${target.region}: set blobStore.region to "${region}"`,
]

const MEANINGS: Record<string, Meaning> = {
  InvalidAccessKeyId: KEYS,
  SignatureDoesNotMatch: KEYS,
  InvalidToken: KEYS,
  ExpiredToken: KEYS,
  TokenRefreshRequired: KEYS,
  AuthorizationHeaderMalformed: REGION,
  PermanentRedirect: REGION,
  TemporaryRedirect: REGION,
  IllegalLocationConstraintException: REGION,
  NoSuchBucket: ['CONNECTION_FAILED', (_, { bucket }) => `The bucket ${bucket} does not exist: create it`],
  InvalidBucketName: ['CONNECTION_FAILED', (_, { bucket }) => `${bucket} is no name of a bucket`],
  RequestTimeTooSkewed: ['CONNECTION_FAILED', () => 'The clock of this machine is wrong: set it by NTP'],
}

function refusalError(refusal: Refusal, operation: Operation, target: Target): StorageError {
  const { status, s3Code, requestId } = refusal
  const { bucket } = target
  const details: ObjectErrorDetails = { bucket, step: operation, httpStatus: status }
  if (s3Code !== '') details.s3Code = s3Code
  if (requestId !== undefined) details.requestId = requestId
  const known = MEANINGS[s3Code] ?? (status === 301 || status === 307 ? REGION : undefined)
  if (known) {
    const [code, message] = known
    return new StorageError(code, message(refusal, target), { details })
  }
  const said = `${status}${s3Code && ` ${s3Code}`}`
  if (isQuota(refusal)) {
    const message = `The bucket ${bucket} takes no more bytes (${said}): its quota or its disk is used up`
    return new StorageError('DISK_FULL', message, { details })
  }
  if (status === 401 || status === 403) {
    const privileges = PERMISSIONS[operation]
    const message = `No permission for ${operation} in bucket ${bucket} (${said}): the access key needs ${privileges.join(' and ')}`
    return new StorageError('PRIVILEGE_MISSING', message, {
      details: { object: `bucket ${bucket}`, privileges, ...details },
    })
  }
  if (isPassing(new Failure({ refusal }))) {
    const message = `The object store answers ${operation} in bucket ${bucket} with ${said}: try again later`
    return new StorageError('CONNECTION_FAILED', message, { details, retryable: true })
  }
  const message = `The object store refuses ${operation} in bucket ${bucket} (${said})`
  return new StorageError('DATABASE_FAILED', message, { details })
}
