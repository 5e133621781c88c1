import type { BlobRecord } from 'holdfast'
import { runScript } from '../setup/processes.ts'

/** What `programs/operate.ts` says. */
export type Message = { acknowledged?: BlobRecord; deleting?: string }

/**
 * Runs a program that does everything with blobs, until it kills itself at a random moment between two numbers of milliseconds.
 * Returns the blobs that it has acknowledged and did not begin to delete. `more` are further arguments of the program.
 */
export async function blobsOfKilled(config: string, [least, most]: [number, number], ...more: string[]) {
  const moment = String(least + Math.floor(Math.random() * (most - least)))
  const script = runScript<Message>('test/blobs/programs/operate.ts', [config, 'everything', moment, ...more])
  await script.exit
  const deleting = new Set(script.messages.map((message) => message.deleting))
  const acknowledged = script.messages.flatMap(({ acknowledged: record }) => (record ? [record] : []))
  return acknowledged.filter(({ id }) => !deleting.has(id))
}
