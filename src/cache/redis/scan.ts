import type { Redis } from 'ioredis'

const SCAN_AT_ONCE = 1000

/**
 * Yields the names that begin with `start`, one answer to SCAN at a time, from one node after the other. SCAN returns each
 * name that exists throughout the scan at least once, even if its entry changes. `ask` limits how long an answer may take.
 */
export async function* scan(
  nodes: readonly Redis[],
  start: string,
  ask: <T>(command: () => Promise<T>) => Promise<T>,
): AsyncGenerator<string[], void, void> {
  const pattern = `${start.replace(/[\\*?[\]]/g, '\\$&')}*`
  for (const node of nodes) {
    let cursor = '0'
    do {
      const [next, names] = await ask(() => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_AT_ONCE))
      if (names.length > 0) yield names
      cursor = next
    } while (cursor !== '0')
  }
}
