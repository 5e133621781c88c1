import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { CommandTimeout } from '../../src/cache/redis/command-timeout.ts'

it('race() passes on what settles in time, in any order, and rejects each other promise after its own timeout', async () => {
  const commandTimeout = new CommandTimeout(200)
  const answer = (millis: number) => commandTimeout.race(sleep(millis, millis))
  const failure = (promise: Promise<never>) => {
    const begun = performance.now()
    return commandTimeout.race(promise).catch((error) => [error.code ?? error.message, performance.now() - begun > 190])
  }
  const never = new Promise<never>(() => {})
  expect(commandTimeout.pending).toBe(false)
  const first = failure(never)
  const met = Promise.all([answer(40), answer(1), answer(20), failure(Promise.reject(new Error('its own')))])
  expect(await met).toEqual([40, 1, 20, ['its own', false]])
  await sleep(50)
  const second = failure(never)
  expect(await first).toEqual(['TIMEOUT', true])
  expect(commandTimeout.pending).toBe(true)
  expect(await second).toEqual(['TIMEOUT', true])
  expect(commandTimeout.pending).toBe(false)
  commandTimeout.stop()
})

it('stop() ends all waits, also when the timer has ended and the next has not begun', async () => {
  const commandTimeout = new CommandTimeout(50)
  const never = new Promise<never>(() => {})
  const failed: string[] = []
  const wait = (name: string) => void commandTimeout.race(never).catch(() => failed.push(name))
  wait('first')
  const stopped = new Promise((resolve) => setTimeout(resolve, 50)).then(() => commandTimeout.stop())
  await sleep(25)
  wait('second')
  await stopped
  await setImmediate()
  expect(failed).toEqual(['first', 'second'])
  expect(commandTimeout.pending).toBe(false)
})
