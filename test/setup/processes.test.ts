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

test('runScript() passes arguments and environment and exchanges messages', async () => {
  const script = runScript<Echo>(echo, ['one', 'two'], { env: { WORD: 'hello' } })
  expect(await script.next()).toEqual({ ready: script.pid, args: ['one', 'two'], word: 'hello' })
  for (const item of ['a', 'b', 'c']) script.send(item)
  expect(await script.next((message) => message.echo === 'b')).toEqual({ echo: 'b' })
  expect(await script.next()).toEqual({ echo: 'c' })
  expect(script.messages).toHaveLength(4)
  expect(script.output).toBe('not a message\n')
})

test('next() and finished() reject with the output when the program fails', async () => {
  const script = runScript<Echo>(echo)
  script.send('fail')
  await expect(script.next((message) => message.echo !== undefined)).rejects.toThrow(
    /before the message came\n.*told to fail/s,
  )
  await expect(script.finished()).rejects.toThrow(/exit code 3\n.*told to fail/s)
})

test('next() rejects when the message does not come in time', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  await expect(script.next(undefined, 50)).rejects.toThrow('within 50 ms')
})

test('kill() keeps the messages that came before', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  script.send(1)
  await script.next()
  expect(await script.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  expect(script.messages).toHaveLength(2)
})

test('runScript() kills the program when the test ends', async () => {
  const script = runScript<Echo>(echo)
  await script.next()
  abandoned = script.pid
})
