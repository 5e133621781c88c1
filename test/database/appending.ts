import type { Storage, StorageConfig } from 'holdfast'
import { runScript } from '../setup/processes.ts'

/** How long appends took, in milliseconds. */
export interface Latencies {
  count: number
  median: number
  p99: number
  longest: number
}

/** Runs `work` while another process appends to a session. Returns how long its appends took. */
export async function appendingBeside(
  config: StorageConfig,
  sessionId: string,
  work: () => Promise<unknown>,
): Promise<Latencies> {
  const program = 'test/database/programs/latencies.ts'
  const appender = runScript<Partial<Latencies>>(program, [JSON.stringify(config), sessionId])
  await appender.next()
  await work()
  appender.end()
  return (await appender.next(({ count }) => count !== undefined)) as Latencies
}

/** Runs `work` while this process appends to a session every 2 ms. Returns how late each append was done. */
export async function appendingHere(
  { messages }: Storage,
  sessionId: string,
  work: () => Promise<unknown>,
): Promise<number[]> {
  const took: number[] = []
  let goesOn = true
  const appending = (async () => {
    while (goesOn) {
      const at = performance.now()
      await messages.append(sessionId, { role: 'user', content: 'x' })
      await new Promise((resolve) => setTimeout(resolve, 2))
      took.push(performance.now() - at)
    }
  })()
  await work()
  goesOn = false
  await appending
  return took
}
