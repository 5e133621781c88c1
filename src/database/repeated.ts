const ATTEMPTS = 3

/** Does `work`, up to `attempts` times: again after an error for which `mayRepeat` returns true. Throws the last error. */
export async function repeated<T>(
  work: () => Promise<T>,
  mayRepeat: (error: unknown) => boolean,
  attempts = ATTEMPTS,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === attempts || !mayRepeat(error)) throw error
    }
  }
}
