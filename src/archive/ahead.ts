/** Yields what `items` yields, and prepares the next item while the consumer works on one. */
export async function* ahead<T>(items: AsyncIterator<T>): AsyncGenerator<T> {
  let next = items.next()
  try {
    for (;;) {
      const { value, done } = await next
      if (done) return
      next = items.next()
      next.catch(() => {}) // thrown when its turn comes
      yield value
    }
  } finally {
    await next.catch(() => {})
    await items.return?.()
  }
}
