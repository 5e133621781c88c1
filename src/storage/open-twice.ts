import { createHash } from 'node:crypto'
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Logger } from '../logger.ts'
import { processWide } from '../process-wide.ts'

const MESSAGE =
  'This process has opened a second storage on the same configuration: share one, and after a hot reload take the one from before (docs/runtimes.md)'

/** How many storages are open on a configuration. */
interface Opened {
  count: number
  warned: boolean
}

const registry = processWide('opened', () => new Map<string, Opened>())

/**
 * Counts a storage as open. Warns, once until all of them are closed, if another one is open on the same configuration:
 * each has connections and a cache of its own. Returns the function that ends the count. A database in memory is not
 * counted, because two of them have nothing in common.
 */
export function countOpened(config: ResolvedConfig, logger: Logger): () => void {
  if (config.database.type === 'in-memory') return () => {}
  const key = createHash('sha256').update(JSON.stringify(config)).digest('hex') // the configuration has secrets
  const opened = registry.get(key) ?? { count: 0, warned: false }
  registry.set(key, opened)
  if (opened.count++ > 0 && !opened.warned) {
    opened.warned = true
    logger.warn(MESSAGE, { component: 'storage', code: 'OPENED_TWICE' })
  }
  let isOpen = true
  return () => {
    if (isOpen && --opened.count === 0) registry.delete(key)
    isOpen = false
  }
}
