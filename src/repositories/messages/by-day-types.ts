/** Options of `messages.countByDay()`. */
export interface CountByDayOptions {
  /** The number of days, the current one included: 1 to 366. Default 30. */
  days?: number | undefined
  /** How long to count, in milliseconds: 1 to 60,000. Default 1000. */
  timeoutMillis?: number | undefined
}

/** How many messages were created on each of the last days. */
export interface MessagesByDay {
  days: {
    /** A day in UTC, such as `2026-01-31`. */
    day: string
    messages: number
  }[]
  /** False if the time was over: then every day up to `missingThrough` may lack some. */
  complete: boolean
  /** The newest day that may lack messages. Undefined if the count is complete. */
  missingThrough?: string
}
