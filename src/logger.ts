/** Where the storage tells what an operator may want to know. `console` is one; so are pino and winston. */
export interface Logger {
  info(message: string, details?: Record<string, unknown>): void
  warn(message: string, details?: Record<string, unknown>): void
  error(message: string, details?: Record<string, unknown>): void
}

/** The default: warnings and errors on the console, nothing else. */
export const consoleLogger: Logger = {
  info: () => {},
  warn: (message, details) => console.warn(`holdfast: ${message}`, ...(details ? [details] : [])),
  error: (message, details) => console.error(`holdfast: ${message}`, ...(details ? [details] : [])),
}
