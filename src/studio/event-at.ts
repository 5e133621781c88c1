import type { AgentEvent, Repositories } from '../index.ts'
import type { Parameters } from './parameters.ts'

/** How many events are read for one of them, and how many at once. */
const MOST = 100
const PAGE = 10

/** Returns what limits a list of events. */
export function eventFilters(given: Parameters) {
  return { sessionId: given.text('session'), runId: given.text('run'), type: given.text('type') }
}

/**
 * Returns the event with a seq, or undefined if it is not among those that follow the cursor. The page knows a cursor near each
 * event that it shows, and a list is read from a cursor on by an index, whatever limits it.
 */
export async function eventAt(
  events: Repositories['events'],
  given: Parameters,
  seq: number,
): Promise<AgentEvent | undefined> {
  let cursor = given.text('cursor')
  for (let read = 0; read < MOST; read += PAGE) {
    const { items, nextCursor } = await events.list({ ...eventFilters(given), cursor, limit: PAGE })
    const found = items.find((event) => event.seq === seq)
    if (found !== undefined || nextCursor === undefined) return found
    cursor = nextCursor
  }
  return undefined
}
