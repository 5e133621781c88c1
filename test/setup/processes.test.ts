import { afterAll, expect, test } from 'vitest'
import { runScript } from './processes.ts'

interface Echo {
  ready?: number
  args?: string[]
  word?: string
  echo?: unknown
}

const echo = 'test/setup/programs/echo.ts'
let abandoned = 0

afterAll(() => {
  expect(() => process.kill(abandoned, 0)).toThrow('ESRCH')
})

test('a script gets its arguments and environment, and exchanges messages', async () => {
  const script = runScript<Echo>(echo, ['one', 'two'], { env: { WORD: 'hello' } })
  expect(await script.next()).toEqual({ ready: script.pid, args: ['one', 'two'], word: 'hello' })
  for (const item of ['a', 'b', 'c']) script.send(item)
  expect(await script.next((message) => message.echo === 'b')).toEqual({ echo: 'b' })
  expect(await script.next()).toEqual({ echo: 'c' })
  expect(script.messages).toHaveLength(4)
  expect(script.output).toBe('not a message\n')
})

test('a script that ends without the message fails, with what it printed', async () => {
  const script = runScript<Echo>(echo)
  script.send('fail')
  await expect(script.next((message) => message.echo !== undefined)).rejects.toThrow(
    /before the message came\n.*told to fail/s,
  )
  await expect(script.finished()).rejects.toThrow(/exit code 3\n.*told to fail/s)
})

test('a script that stays silent is not waited for', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  await expect(script.next(undefined, 50)).rejects.toThrow('within 50 ms')
})

test('a killed script has said what it said', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  script.send(1)
  await script.next()
  expect(await script.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  expect(script.messages).toHaveLength(2)
})

test('a script that is not ended by its test ends with it', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  abandoned = script.pid
})
