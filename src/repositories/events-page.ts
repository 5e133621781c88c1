import type { Page } from '../database/paging/page.ts'

/** Some events of a log that is followed. */
export interface EventsPage<Event> extends Page<Event> {
  /** The `cursor` of a later call that continues after these events. */
  nextCursor: string
}
