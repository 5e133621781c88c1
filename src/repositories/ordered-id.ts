import { randomUUID } from 'node:crypto'

let latest = 0n

/** A UUID (version 7) that sorts by time and, in this process, after all that were made before it. */
export function orderedId(now: Date): string {
  const time = BigInt(now.getTime()) << 12n // below the milliseconds there is room for a counter
  latest = time > latest ? time : latest + 1n
  const head = latest.toString(16).padStart(15, '0')
  return `${head.slice(0, 8)}-${head.slice(8, 12)}-7${head.slice(12)}-${randomUUID().slice(19)}`
}
