/**
 * What the storage says about its work while somebody listens: TracingChannels of `node:diagnostics_channel`. No message has an
 * id, a key, a name that the program chose, or content. docs/observability.md lists the channels.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import { isStorageError } from '../errors.ts'

/** Which database a message is about. */
export interface DatabaseSource {
  /** The SQL dialect: a database in memory is one of SQLite. For calls of `storage.cache` the type of its store. */
  readonly database: 'sqlite' | 'postgres' | 'redis' | 'in-memory' | (string & {})
  /** The name of the PostgreSQL database, or the name of the SQLite file without its directory. */
  readonly namespace?: string | undefined
}

/** How a traced call failed. The error itself may name ids, so that no message has it. */
export interface MessageError {
  /** The code of the `StorageError`. `_OTHER` for another error, such as one that the program has thrown. */
  readonly code: string
  /** The SQLSTATE of PostgreSQL, or the result code of SQLite. */
  readonly statusCode?: string
}

/** What every message gets at the end of its call. */
export interface TracedMessage {
  /** Milliseconds that the call took. Set when it has ended. */
  latencyMs?: number
  /** Set if the call has failed. */
  error?: MessageError
}

/** How the cache answered: it had the row or knew that there is none, it had nothing, or it could not be asked. */
export type CacheResult = 'hit' | 'miss' | 'bypass'

/** A call of a repository, of the blobs, of the program's own cache, or of the storage itself. Channel `holdfast:operation`. */
export interface OperationMessage extends DatabaseSource, TracedMessage {
  /** The property of the storage, such as `messages`. `storage` and `transaction` for the calls of these two. */
  readonly repository: string
  /** The method, such as `append`. */
  readonly method: string
  /** The tables that the repository is about, its own first. */
  readonly tables: readonly string[]
  /** The number of items that the call was given, if it takes several. */
  readonly batchSize?: number
  /** The number of rows in the result. Not given if the result is no row. */
  rows?: number
  /** How the cache answered the point reads of the call. `hit` only if it answered all of them. */
  cache?: CacheResult
  /** The size of the blob that was stored or read. */
  bytes?: number
}

/** SQL that goes to the database: a statement, or a batch of them. Channel `holdfast:statement`. */
export interface StatementMessage extends DatabaseSource, TracedMessage {
  /** The SQL, with placeholders for all values. The statements of a batch are separated by a semicolon. */
  readonly sql: string
  /** What the first statement that writes does, else the first one, such as `INSERT`. */
  readonly operation: string
  /** The table of that statement. */
  readonly table: string | undefined
  /** The number of statements. */
  readonly statements: number
  /** True in a transaction of several round trips. */
  readonly transaction: boolean
  /** The number of rows that came back. */
  rows?: number
}

/** A transaction of several round trips: one of the program, or one that a call needs. Channel `holdfast:transaction`. */
export interface TransactionMessage extends DatabaseSource, TracedMessage {
  /** Milliseconds until the transaction had its connection, or SQLite's writer. */
  waitMs?: number
}

/** A read of the row cache, or an invalidation. Channel `holdfast:cache`. */
export interface CacheMessage extends TracedMessage {
  /** `in-memory`, `redis`, or the type of the program's own store. */
  readonly store: string
  readonly method: 'read' | 'invalidate'
  /** The kind of the rows, such as `sessions`. */
  readonly table: string
  /** The number of rows. */
  readonly keys: number
  /** How the cache answered a read. */
  result?: CacheResult
}

/** A step on the bytes of a blob. Channel `holdfast:blob`. */
export interface BlobMessage extends TracedMessage {
  /** `in-memory`, `local`, or the type of the program's own backend. */
  readonly store: string
  /** `stage` writes the bytes, `commit` makes them last, `open` reads them, `remove` removes them. */
  readonly method: 'stage' | 'commit' | 'open' | 'remove'
  /** The number of bytes that were written or read. */
  bytes?: number
}

/** A step of maintenance. Channel `holdfast:maintenance`. */
export interface MaintenanceMessage extends TracedMessage {
  /** Such as `expired-sessions`. */
  readonly step: string
  /** The number of rows or files removed. */
  removed?: number
}

// Internal, as no declaration may name TracingChannel: @types/node 26 has its type parameters in another order.
/** @internal */
export const operations: TracingChannel<unknown, OperationMessage> = tracingChannel('holdfast:operation')
/** @internal */
export const statements: TracingChannel<unknown, StatementMessage> = tracingChannel('holdfast:statement')
/** @internal */
export const transactions: TracingChannel<unknown, TransactionMessage> = tracingChannel('holdfast:transaction')
/** @internal */
export const cacheAccesses: TracingChannel<unknown, CacheMessage> = tracingChannel('holdfast:cache')
/** @internal */
export const blobSteps: TracingChannel<unknown, BlobMessage> = tracingChannel('holdfast:blob')
/** @internal */
export const maintenanceSteps: TracingChannel<unknown, MaintenanceMessage> = tracingChannel('holdfast:maintenance')

/**
 * Runs `work` and publishes its message. `note` adds to the message what the result says. Node's own `tracePromise` would put
 * the result and the error into the message.
 *
 * @internal
 */
export function traced<Message extends TracedMessage, T>(
  { start, end, asyncStart, asyncEnd, error }: TracingChannel<unknown, Message>,
  message: Message,
  work: () => T | Promise<T>,
  note?: (result: T) => void,
): Promise<T> {
  const begun = performance.now()
  const settle = () => {
    asyncStart.publish(message)
    asyncEnd.publish(message)
  }
  return start.runStores(message, () => {
    const running = (async () => work())()
    end.publish(message)
    return running.then(
      (result) => {
        message.latencyMs ??= performance.now() - begun
        note?.(result)
        settle()
        return result
      },
      (reason) => {
        message.latencyMs ??= performance.now() - begun
        message.error = messageError(reason)
        error.publish(message)
        settle()
        throw reason
      },
    )
  })
}

/** Ends the messages of iterations that are garbage. */
const dropped = new FinalizationRegistry<() => void>((end) => end())

/**
 * Makes an iteration whose message ends when it calls `end`, or when it is garbage: a program may drop an iteration or a stream
 * halfway, and nothing else tells.
 *
 * @internal
 */
export function withEnd<T>(
  iterate: (ended: Promise<void>, end: (outcome?: Promise<void>) => void) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  let end: (outcome?: Promise<void>) => void = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const iteration = iterate(ended, end)
  dropped.register(iteration, end)
  return iteration
}

/** Returns what a message may say about an error. */
export function messageError(error: unknown): MessageError {
  if (!isStorageError(error)) return { code: '_OTHER' }
  const { postgresCode, sqliteCode } = error.details as { postgresCode?: string; sqliteCode?: string } // of some codes
  const statusCode = postgresCode ?? sqliteCode
  return statusCode === undefined ? { code: error.code } : { code: error.code, statusCode }
}

/** The operation that the running code is part of, while somebody listens. */
const running = new AsyncLocalStorage<OperationMessage>()
let runningOperations = 0

/** Runs an operation, so that `noteCacheResult` finds its message. */
export async function asOperation<T>(message: OperationMessage, work: () => T | Promise<T>): Promise<T> {
  runningOperations++
  try {
    return await running.run(message, work)
  } finally {
    // On Node 20 an enabled AsyncLocalStorage slows every promise down.
    if (--runningOperations === 0) running.disable()
  }
}

const RANK = { hit: 0, miss: 1, bypass: 2 } as const satisfies Record<CacheResult, number>

/** Notes in the message of the running operation how the cache has answered. */
export function noteCacheResult(result: CacheResult): void {
  if (runningOperations === 0) return
  const message = running.getStore()
  if (message !== undefined && (message.cache === undefined || RANK[message.cache] < RANK[result])) {
    message.cache = result
  }
}
