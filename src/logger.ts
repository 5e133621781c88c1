/** Receives what an operator should know. `console`, pino and winston loggers fit as they are. */
export interface Logger {
  info(message: string, details?: Record<string, unknown>): void
  warn(message: string, details?: Record<string, unknown>): void
  error(message: string, details?: Record<string, unknown>): void
}

/** The default logger: warnings and errors go to the console, everything else is dropped. */
export const consoleLogger: Logger = {
  info: () => {},
  warn: (message, details) => console.warn(`holdfast: ${message}`, ...(details ? [details] : [])),
  error: (message, details) => console.error(`holdfast: ${message}`, ...(details ? [details] : [])),
}

/** Returns a function that logs a warning on its first call, and does nothing afterwards. */
export function warnOnce(logger: Logger, message: string): () => void {
  let warned = false
  return () => {
    if (!warned) logger.warn(message)
    warned = true
  }
}
