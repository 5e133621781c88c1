import { appendFile, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from 'holdfast'
import type { Tools } from './agent.ts'

/** Two tools: one whose effect is in the database, one that acts on the world outside: a file of mails. */
export function travelTools(outbox: string): Tools {
  return {
    reserve_seat: {
      acts: 'inside',
      async run(tx, input) {
        const { train, place } = input as { train: string; place: string } // what the model was told to give
        const seats = ((await tx.toolState.get('reserve_seat', train)) ?? []) as string[]
        const seat = `${10 + seats.length}${place === 'window' ? 'A' : 'C'}`
        await tx.toolState.set('reserve_seat', train, [...seats, seat])
        return { train, place, seat }
      },
    },
    mail_ticket: {
      acts: 'outside',
      needsApproval: true,
      async run(executionId, input) {
        const mail = input as JsonObject
        const sent = await readFile(outbox, 'utf8').catch(() => '')
        // A mail service takes such an id and sends once what it is asked for twice.
        if (!sent.includes(executionId)) await appendFile(outbox, `${JSON.stringify({ executionId, ...mail })}\n`)
        await sleep(100) // its answer takes a moment
        return mail
      },
    },
  }
}
