/**
 * Reads caught values. `instanceof Error` would miss errors of another realm: under Jest, or in a `node:vm` context, the
 * errors of Node's own modules are instances of another `Error`.
 */

/** Returns true if the value is an error of any realm. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || (hasText(value, 'message') && hasText(value, 'stack'))
}

/** Returns the code of a system error or of a driver's error. */
export function codeOf(error: unknown): string | undefined {
  return isError(error) && 'code' in error ? String(error.code) : undefined
}

/** Returns the message of an error, or any other thrown value as text. */
export function messageOf(error: unknown): string {
  return isError(error) ? error.message : String(error)
}

function hasText(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'string'
}
