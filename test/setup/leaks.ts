import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { connectedClients, discardAll } from './databases.ts'

const graceMillis = 2000

/** Returns what `find` still finds after `millis` at most: sockets and backends take a moment to close. */
export async function leftOver(find: () => string[] | Promise<string[]>, millis = graceMillis): Promise<string[]> {
  const deadline = Date.now() + millis
  for (;;) {
    const found = await find()
    if (found.length === 0 || Date.now() > deadline) return found
    await sleep(20)
  }
}

/** Returns what keeps this process alive now and did not before: names such as Timeout, TCPSocketWrap, ProcessWrap. */
export function newResources(before: readonly string[]): string[] {
  const known = [...before]
  return process.getActiveResourcesInfo().filter((resource) => {
    const index = known.indexOf(resource)
    if (index >= 0) known.splice(index, 1)
    return index < 0
  })
}

/** Fails the test file if it leaves a database connection, timer, socket or process behind. */
export function failOnLeaks(): void {
  const before = process.getActiveResourcesInfo()
  afterAll(async () => {
    const clients = await leftOver(connectedClients)
    await discardAll()
    const leaks = [...clients, ...(await leftOver(() => newResources(before)))]
    if (leaks.length > 0) throw new Error(`This test file did not close:\n  ${leaks.join('\n  ')}`)
  })
}
