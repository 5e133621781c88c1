import type { AgentEvent, EventsPage, Repositories } from '../index.ts'
import { eventFilters } from './event-at.ts'
import { SECURITY_HEADERS } from './headers.ts'
import type { Parameters } from './parameters.ts'
import { describeError, Refusal } from './responses.ts'
import { shortenedPage } from './shortened.ts'

/** How often a line is sent if nothing happens, so that both sides notice when the other is gone. */
const BEAT_MILLIS = 10_000
const POLL_MILLIS = 500
const MAX_FOLLOWERS = 16

/** Streams events as lines of JSON: pages of a list, and empty lines while nothing happens. */
export class Following {
  readonly #followers = new Set<AbortController>()

  /** Returns a response that goes on until the reader leaves, `signal` is aborted or the storage is closed. */
  response(events: Repositories['events'], given: Parameters, signal: AbortSignal): Response {
    if (this.#followers.size >= MAX_FOLLOWERS) {
      throw new Refusal(503, 'TOO_MANY', `${MAX_FOLLOWERS} pages follow events already: close one of them`)
    }
    const ending = new AbortController()
    const end = () => ending.abort()
    this.#followers.add(ending)
    ending.signal.addEventListener('abort', () => this.#followers.delete(ending), { once: true })
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end() // the reader has left before: no event comes
    const pages = events.follow({
      ...eventFilters(given),
      cursor: given.text('cursor'),
      limit: given.page.limit,
      pollMillis: POLL_MILLIS,
      signal: ending.signal,
    })
    const lines = linesOf(pages, end)
    const encoder = new TextEncoder()
    return new Response(
      new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await lines.next()
          if (done) controller.close()
          else controller.enqueue(encoder.encode(value))
        },
        cancel: end,
      }),
      { headers: { ...SECURITY_HEADERS, 'content-type': 'application/x-ndjson; charset=utf-8' } },
    )
  }

  /** Ends all streams. */
  end(): void {
    for (const follower of this.#followers) follower.abort()
  }
}

async function* linesOf(pages: AsyncIterable<EventsPage<AgentEvent>>, end: () => void): AsyncGenerator<string> {
  const iterator = pages[Symbol.asyncIterator]()
  try {
    yield '\n' // the headers leave at once
    let coming = iterator.next()
    for (;;) {
      const next = await within(coming, BEAT_MILLIS)
      if (next === 'late') {
        yield '\n'
        continue
      }
      if (next.done) return
      coming = iterator.next()
      yield `${JSON.stringify(shortenedPage(next.value))}\n`
    }
  } catch (error) {
    const { code, message } = describeError(error)
    yield `${JSON.stringify({ error: { code, message } })}\n`
  } finally {
    end()
  }
}

/** Returns what a promise gives, or 'late' if it takes longer. */
async function within<Value>(promise: Promise<Value>, millis: number): Promise<Value | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, millis, 'late')
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
