import { Writable } from 'node:stream'
import { openStorage } from 'holdfast'
import pino from 'pino'
import { expect, it, vi } from 'vitest'
import { messageFirst } from '../../src/logger.ts'

/** Returns a logger of pino, and the lines that it has written. */
function recordingPino() {
  const lines: Record<string, unknown>[] = []
  const write = (text: Buffer, _: unknown, done: () => void) => {
    lines.push(JSON.parse(text.toString()))
    done()
  }
  return { lines, logger: pino({ level: 'debug' }, new Writable({ write })) }
}

const slow = { slowOperationMillis: 1, maintenance: false }

/** Makes a call that takes 20 ms. */
const slowCall = (storage: Awaited<ReturnType<typeof openStorage>>) =>
  storage.lists.update('list', async () => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return { items: [], result: 0 }
  })

const fields = {
  component: 'storage',
  code: 'SLOW_OPERATION',
  operation: 'lists.update',
  tables: ['list_items', 'lists', 'sessions'],
  latencyMs: expect.any(Number),
}

it('pino writes the message and every field', async () => {
  const { logger, lines } = recordingPino()
  await using storage = await openStorage({}, { logger, ...slow })
  await slowCall(storage)
  expect(lines).toEqual([
    expect.objectContaining({ level: 40, msg: expect.stringMatching(/^lists.update has taken \d+ ms$/), ...fields }),
  ])
  expect(lines[0]?.latencyMs).toBeGreaterThanOrEqual(19)
})

it("a child of pino's logger fits as well, and pino would drop the details of console's order", async () => {
  const { logger, lines } = recordingPino()
  messageFirst(logger.child({ app: 'agent' })).warn('message', { component: 'cache', code: 'CACHE_BACK' })
  expect(lines[0]).toMatchObject({ msg: 'message', app: 'agent', component: 'cache', code: 'CACHE_BACK' })
  logger.warn('message', { component: 'cache' } as never) // pino's types refuse it
  expect(lines[1]).not.toHaveProperty('component')
})

it('console gets the message first', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  await using storage = await openStorage({}, { logger: console, ...slow })
  await slowCall(storage)
  expect(warn.mock.calls).toEqual([[expect.stringMatching(/^lists.update has taken/), expect.objectContaining(fields)]])
  warn.mockRestore()
})

it('a failed step of maintenance is logged with its error, its latency and how often it has failed', async () => {
  const { logger, lines } = recordingPino()
  let isBroken = false
  const now = () => {
    if (isBroken) throw new Error('the clock is broken')
    return new Date()
  }
  const storage = await openStorage({}, { logger, maintenance: false, now })
  isBroken = true
  await storage.maintain()
  await storage.maintain()
  const failed = lines.filter(({ code }) => code === 'MAINTENANCE_FAILED').filter(({ step }) => step === 'expired-keys')
  const line = { component: 'maintenance', level: 50, latencyMs: expect.any(Number) }
  expect(failed).toMatchObject([
    { ...line, attempt: 1, err: { message: 'the clock is broken', stack: expect.any(String) } },
    { ...line, attempt: 2 },
  ])
  await storage.close()
})
