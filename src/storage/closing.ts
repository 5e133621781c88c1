import type { Database } from '../database/database.ts'
import type { Logger } from '../logger.ts'

const UNFINISHED =
  'The storage was closed with calls in flight: transactions and puts of blobs that had not ended are given up'
/** How long what works in the background has after the database was closed: its calls end with CLOSED. */
const BACKGROUND_MILLIS = 1000

/** What a storage consists of when it is closed. */
interface Layers {
  database: Database
  blobs: { close(): Promise<void>; stopPuts(): void }
  logger: Logger
  /** Ends maintenance and whatever else works in the background. */
  stopBackground: () => Promise<unknown>
  /** Our own cache store, which bounds by itself how long its end takes. */
  cacheStore: Closable | undefined
  /** What the program has written itself, so that nothing else bounds how long it takes. */
  backends: readonly Closable[]
  timeoutMillis: number
}

/** What can be closed. A `close` of the program's own may be no async function. */
export interface Closable {
  close(): unknown
}

/** Closes the layers from the top down. Waits no longer for a backend of the program's own than for calls in flight. */
export async function closeLayers({ database, blobs, logger, timeoutMillis, ...layers }: Layers): Promise<void> {
  const warn = (message: string) => logger.warn(message, { component: 'storage', code: 'CALLS_GIVEN_UP' })
  const stopped = layers.stopBackground()
  stopped.catch(() => {}) // it may reject after nobody waits
  await database.close({
    timeoutMillis,
    onUnfinished: () => {
      warn(UNFINISHED)
      blobs.stopPuts()
    },
  })
  await within(stopped, BACKGROUND_MILLIS, () => {
    warn('The storage was closed while a step of maintenance waited for a backend: it is given up')
  })
  await closeAll(layers.cacheStore ? [blobs, layers.cacheStore] : [blobs])
  await within(closeAll(layers.backends), timeoutMillis, () => {
    warn(`The storage was closed though close() of a backend had not ended after ${timeoutMillis} ms`)
  })
}

/**
 * Closes the layers of a storage that cannot be opened, one after the other. What they throw is left out: another error says
 * why.
 */
export async function closeOpened(layers: readonly Closable[], timeoutMillis: number): Promise<void> {
  for (const layer of layers) await within(closeAll([layer]), timeoutMillis).catch(() => {})
}

/** Closes all at once, also if one fails, and then throws the first error. */
async function closeAll(all: readonly Closable[]): Promise<void> {
  const ends = await Promise.allSettled(all.map(async (each) => each.close()))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** Waits for `work`, and no longer than `millis`. */
async function within(work: Promise<unknown>, millis: number, onTimeout = () => {}): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(() => resolve(onTimeout()), millis)
  })
  try {
    await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
