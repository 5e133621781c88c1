import type { Page } from '../database/paging/page.ts'
import { pause, type SettledEvents } from '../database/settled-events.ts'
import { isStorageError } from '../errors.ts'
import type { EventsPage } from './events-page.ts'

interface Log<Event> {
  /** Reads a page of the events after a cursor, with no greater seq than `through` if it is given. */
  page(cursor: string | undefined, through?: number): Promise<Page<Event>>
  cursorOf(event: Event): string
  settled: SettledEvents
}

interface FollowOptions {
  cursor: string | undefined
  limit: number
  signal: AbortSignal | undefined
  pollMillis: number
}

/** Yields pages of settled events until the signal is aborted or the storage is closed. */
export async function* followPages<Event extends { seq: number }>(
  log: Log<Event>,
  { cursor, limit, signal, pollMillis }: FollowOptions,
): AsyncGenerator<EventsPage<Event>, void, void> {
  let hasBegun = false
  const begun: Log<Event> = {
    ...log,
    async page(after, through) {
      const page = await log.page(after, through)
      hasBegun = true
      return page
    },
  }
  while (!signal?.aborted) {
    let items: Event[]
    try {
      items = await settledPage(begun, cursor, signal)
    } catch (error) {
      if (hasBegun && isStorageError(error, 'CLOSED')) return
      throw error
    }
    const last = items.at(-1)
    if (last !== undefined) {
      cursor = log.cursorOf(last)
      yield { items, nextCursor: cursor }
    }
    if (items.length < limit) await pause(pollMillis, signal)
  }
}

/** Returns the next events. Waits until they are settled: without a new event, nothing needs to be asked but the page. */
async function settledPage<Event extends { seq: number }>(
  { page, settled }: Log<Event>,
  cursor: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Event[]> {
  const known = settled.through // before the page is read
  const { items } = await page(cursor)
  const last = items.at(-1)
  if (last === undefined || last.seq <= known) return items
  await settled.settle(last.seq, signal)
  if (signal?.aborted) return []
  // Read again: an event before the last one may have become visible.
  return (await page(cursor, settled.through)).items
}
