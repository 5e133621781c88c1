import { appendFile, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from 'holdfast'
import type { Tools } from './agent.ts'

/** Returns two tools: one that changes only the database, and one that acts outside of it, by appending to a file of mails. */
export function travelTools(outbox: string): Tools {
  return {
    reserve_seat: {
      acts: 'inside',
      async run(tx, input) {
        const { train, place } = input as { train: string; place: string } // what the model was told to give
        const seats = (await tx.toolState.get<string[]>('reserve_seat', train)) ?? []
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
        // Like a mail service with an idempotency key: the same execution id sends one mail.
        if (!sent.includes(executionId)) await appendFile(outbox, `${JSON.stringify({ executionId, ...mail })}\n`)
        await sleep(100) // the service takes a moment to answer
        return mail
      },
    },
  }
}
