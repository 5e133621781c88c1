import { Redis } from 'ioredis'
import { expect, inject, it, onTestFinished, vi } from 'vitest'
import { Gathered } from '../../src/cache/redis/gathered.ts'
import { MARK_MILLIS } from '../../src/cache/redis/marks.ts'
import { SCRIPTS, type Scripts } from '../../src/cache/redis/scripts.ts'
import { redisPrefix } from '../setup/databases.ts'

it('the scripts treat each key by itself: values, leases, marks of others, marks that stay and expired marks', async () => {
  const redis = new Redis(inject('redisUrl'), { scripts: SCRIPTS }) as Redis & Scripts // ioredis adds the scripts as methods
  onTestFinished(() => redis.disconnect())
  const prefix = redisPrefix()
  const keys = ['value', 'lease', 'other', 'expired', 'nothing'].map((name) => prefix + name)
  const fill = () =>
    redis.mset(
      keys.slice(0, 4).flatMap((key, i) => [key, ['Vold', 'Lease', 'Mbob:9999999999999,', 'Mbob:1000,'][i] ?? '']),
    )
  const entries = async () =>
    (await redis.mget(keys)).map((entry) => entry?.replaceAll(/:\d+,/g, ' ').trimEnd() ?? null)

  await fill()
  await redis.announce(5, ...keys, 'ann', MARK_MILLIS)
  expect(await entries()).toEqual(['Mann', 'Mann', 'Mbob ann', 'Mann', 'Mann'])
  expect(await redis.withdraw(5, ...keys, 'ann', 1, 0, 0, 0, 0)).toBe(0)
  expect(await entries()).toEqual(['Mann', null, 'Mbob', null, null])
  await fill()
  expect(await redis.withdraw(5, ...keys, 'ann', 1, 0, 0, 0, 0)).toBe(2)
  expect(await entries()).toEqual([null, null, 'Mbob', null, null])
})

it('the keys of one turn are sent in one command', async () => {
  const send = vi.fn(async (keys: readonly string[]) => keys.join())
  const gathered = new Gathered(send)
  const answers = [gathered.add(['a']), Promise.resolve().then(() => gathered.add(['b', 'c']))]
  expect(await Promise.all(answers)).toEqual(['a,b,c', 'a,b,c'])
  const [early] = [gathered.add(['d']), gathered.flush()]
  const late = gathered.add(['e'])
  expect([await early, await late]).toEqual(['d', 'e'])
  expect(send).toHaveBeenCalledTimes(3)
})
