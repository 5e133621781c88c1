import { StorageError } from '../../errors.ts'

/** Whether the server itself said so: it is there and answers. */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

const PASSING = /^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|OOM|MISCONF|NOREPLICAS)|max number of clients/

const REASONS: [pattern: RegExp, reason: string][] = [
  [/^WRONGPASS|invalid password/, 'the username or the password is wrong'],
  [/^NOAUTH/, 'it wants a password, and none is configured'],
  [/^NOPERM/, 'the user lacks the right to a command that the cache needs'],
  [/DB index/, 'there is no database of this number'],
  [/cluster support disabled/, 'it is not part of a cluster'],
  [/^DENIED/, 'it is in protected mode, which takes no connections from other hosts'],
]

/** What a refusal at open says: CONNECTION_FAILED. Undefined for what may pass by itself, such as no answer. */
export function refusal(error: unknown, server: string, database: number): StorageError | undefined {
  if (!isReply(error) || PASSING.test(error.message)) return undefined
  const reason =
    REASONS.find(([pattern]) => pattern.test(error.message))?.[1] ?? 'it does not take a command of the cache'
  const message = `${server} refuses database ${database}: ${reason} (${error.message})`
  return new StorageError('CONNECTION_FAILED', message, { cause: error, details: { server, database } })
}
