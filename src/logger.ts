import { codeOf, isError, messageOf } from './caught.ts'

/** The part of the storage that logs a line. */
export type LogComponent = 'storage' | 'database' | 'cache' | 'maintenance'

/** What a line says, as a stable name. docs/observability.md lists them. */
export type LogCode =
  | 'BLOBS_IN_MEMORY'
  | 'BLOB_RECORDS_IN_MEMORY'
  | 'CACHE_BACK'
  | 'CACHE_OUT_OF_REACH'
  | 'CACHE_PER_INSTANCE'
  | 'CALLS_GIVEN_UP'
  | 'CLOCK_DIFFERS'
  | 'EMBEDDING_FAILED'
  | 'INVALIDATIONS_LOST'
  | 'MAINTENANCE_FAILED'
  | 'MAINTENANCE_REMOVED'
  | 'MEMORIES_IN_MEMORY'
  | 'NOTICES_BACK'
  | 'NOTICES_LOST'
  | 'OPENED_TWICE'
  | 'SLOW_OPERATION'
  | 'SLOW_TRANSACTION'

/** The fields of a line. Further fields depend on the code. */
export interface LogDetails extends Record<string, unknown> {
  component: LogComponent
  code: LogCode
  /** Milliseconds that something took. */
  latencyMs?: number
  /** How often something has been tried in a row, from 1. */
  attempt?: number
  /** The error that led to the line. */
  err?: LoggedError
}

/** An error as it is logged. It has no cause: a driver's error may have values. */
export interface LoggedError {
  code?: string
  message: string
  stack?: string
}

/** Receives what an operator should know. `console` and winston loggers fit as they are. */
export interface Logger {
  /** Only a `DetailsFirstLogger` has it. */
  bindings?: undefined
  info(message: string, details: LogDetails): void
  warn(message: string, details: LogDetails): void
  error(message: string, details: LogDetails): void
}

/**
 * A logger that wants the details first, as pino's do. It is recognised by its method `bindings`, which every logger of pino
 * has.
 */
export interface DetailsFirstLogger {
  bindings(): object
  info(details: LogDetails, message: string): void
  warn(details: LogDetails, message: string): void
  error(details: LogDetails, message: string): void
}

/** The default logger: warnings and errors go to the console, everything else is dropped. */
export const consoleLogger: Logger = {
  info: () => {},
  warn: (message, details) => console.warn(`holdfast: ${message}`, details),
  error: (message, details) => console.error(`holdfast: ${message}`, details),
}

/** Returns a logger that takes the message first. */
export function messageFirst(logger: Logger | DetailsFirstLogger): Logger {
  if (logger.bindings === undefined) return logger
  return {
    info: (message, details) => logger.info(details, message),
    warn: (message, details) => logger.warn(details, message),
    error: (message, details) => logger.error(details, message),
  }
}

/** Returns what is logged of an error. */
export function loggedError(error: unknown): LoggedError {
  const code = codeOf(error)
  const stack = isError(error) ? error.stack : undefined
  return { ...(code !== undefined && { code }), message: messageOf(error), ...(stack !== undefined && { stack }) }
}

/** Returns a function that logs a warning on its first call, and does nothing afterwards. */
export function warnOnce(logger: Logger, message: string, details: LogDetails): () => void {
  let warned = false
  return () => {
    if (!warned) logger.warn(message, details)
    warned = true
  }
}
