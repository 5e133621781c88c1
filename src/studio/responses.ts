import { isStorageError, type StorageErrorCode } from '../index.ts'
import { SECURITY_HEADERS } from './headers.ts'

/** A request that is answered with an error. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** The most that one response of JSON may hold, in bytes. */
const MAX_JSON_BYTES = 32 * 1024 * 1024

/** Returns a response of JSON. Refuses a value that would stall the page. */
export function jsonResponse(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  const text = JSON.stringify(value)
  // Each UTF-16 unit takes a byte or more, so a text that is far too large is refused before it is copied.
  const bytes = text.length > MAX_JSON_BYTES ? undefined : Buffer.from(text)
  if (bytes === undefined || bytes.length > MAX_JSON_BYTES) {
    const limit = `${MAX_JSON_BYTES / 1024 / 1024} MiB`
    throw new Refusal(
      413,
      'TOO_LARGE',
      `The answer has more than ${limit}. The command line can print it: holdfast --help`,
    )
  }
  return new Response(bytes, {
    status,
    headers: { ...SECURITY_HEADERS, 'content-type': 'application/json; charset=utf-8', ...headers },
  })
}

/** Returns the response for an error. It says nothing about an error that was not expected. */
export function errorResponse(error: unknown): Response {
  const { status, headers, ...described } = describeError(error)
  return jsonResponse({ error: described }, status, headers)
}

/** Returns what a client may know of an error. */
export function describeError(error: unknown): {
  status: number
  code: string
  message: string
  headers?: Readonly<Record<string, string>>
} {
  if (error instanceof Refusal) {
    return { status: error.status, code: error.code, message: error.message, headers: error.headers }
  }
  if (isStorageError(error)) {
    return { status: STATUS[error.code] ?? 500, code: error.code, message: error.message }
  }
  return {
    status: 500,
    code: 'UNEXPECTED',
    message: 'Studio failed to answer. The program that serves it may say more.',
  }
}

const STATUS: Partial<Record<StorageErrorCode, number>> = {
  INVALID_INPUT: 400,
  BLOB_REFERENCE_INVALID: 400,
  NOT_FOUND: 404,
  BLOB_NOT_FOUND: 404,
  INVALID_STATE: 409,
  READ_ONLY: 409,
  CLOSED: 503,
  CONNECTION_FAILED: 503,
  CONNECTION_LOST: 503,
  TIMEOUT: 504,
}
