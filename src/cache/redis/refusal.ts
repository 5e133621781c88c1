import { isError } from '../../caught.ts'
import { StorageError } from '../../errors.ts'

/** Returns true if the error is an error reply: the server is up and answered. */
export function isReply(error: unknown): error is Error {
  return isError(error) && error.name === 'ReplyError'
}

/** Error replies that may pass by themselves. */
const PASSING = /^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|OOM|MISCONF|NOREPLICAS)|max number of clients/

const REASONS: [pattern: RegExp, reason: string][] = [
  [/^WRONGPASS|invalid password/, 'the username or the password is wrong'],
  [/^NOAUTH/, 'it requires a password, and none is configured'],
  [/^NOPERM/, 'the user lacks the right to a command that the cache needs'],
  [/DB index/, 'there is no database with this number'],
  [/^(MOVED|CROSSSLOT)/, 'it is a node of a cluster: configure options.cluster'],
  [/cluster support disabled/, 'it is not part of a cluster'],
  [/^DENIED/, 'it is in protected mode, which refuses connections from other hosts'],
]

/**
 * Returns the CONNECTION_FAILED for an error reply at open, or undefined for an error that may pass by itself, such as
 * silence.
 */
export function refusal(error: unknown, server: string, database: number): StorageError | undefined {
  if (!isReply(error) || PASSING.test(error.message)) return undefined
  const reason =
    REASONS.find(([pattern]) => pattern.test(error.message))?.[1] ??
    'it does not support a command that the cache needs'
  const message = `${server} refuses database ${database}: ${reason} (${error.message})`
  return new StorageError('CONNECTION_FAILED', message, { cause: withoutCommand(error), details: { server, database } })
}

/** Returns true if the server says that it is no master any more. */
export function isDemotion(error: unknown): boolean {
  return isReply(error) && /^(READONLY|MASTERDOWN)/.test(error.message)
}

/** Returns the error of a write that a strict cache could not be told of. */
export function unavailable(name: string, cause: unknown): StorageError {
  const message = `${name} cannot be told of a write to cached rows: nothing was written, as cache.options.consistency is 'strict'`
  return new StorageError('CACHE_UNAVAILABLE', message, { cause: withoutCommand(cause), retryable: true })
}

/** Returns an error without the command that ioredis notes in it: the arguments are passwords, keys or rows. */
export function withoutCommand(error: unknown): unknown {
  if (!isError(error)) return error
  const { message, name, stack } = error
  return Object.assign(new Error(message), { name, stack })
}
