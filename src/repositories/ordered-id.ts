import { randomUUID } from 'node:crypto'

let latest = 0n

/** Returns a UUID (version 7) that sorts by time and, within this process, after every id made before. */
export function orderedId(now: Date): string {
  const time = BigInt(now.getTime()) << 12n // milliseconds, with 12 bits below them for a counter
  latest = time > latest ? time : latest + 1n
  const head = latest.toString(16).padStart(15, '0')
  return `${head.slice(0, 8)}-${head.slice(8, 12)}-7${head.slice(12)}-${randomUUID().slice(19)}`
}
