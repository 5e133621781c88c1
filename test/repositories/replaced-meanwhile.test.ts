import { isStorageError, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

it('replace() fails with a reason, or may be repeated, if others create and delete the session meanwhile', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  const { messages, sessions } = storage
  const message = { role: 'user', content: 'x' }
  let isOver = false
  const others = async () => {
    while (!isOver) {
      await messages.append('s', [message, message, message])
      await sessions.delete('s')
    }
  }
  const codes = new Set<string>()
  const replace = async () => {
    for (let i = 0; i < rounds(150, 2000); i++) {
      const range = { afterSeq: 0, throughSeq: 2, operationId: `o${i}` }
      await messages.replace('s', range, [message]).catch((error) => {
        if (!isStorageError(error)) throw error
        if (!error.retryable) codes.add(error.code)
      })
    }
  }
  const running = [others(), others()]
  await Promise.all([replace(), replace()])
  isOver = true
  await Promise.all(running)
  expect(codes).not.toContain('DATABASE_FAILED')
  expect(codes).toContain('INVALID_INPUT')
})
