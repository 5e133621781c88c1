import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CircuitBreaker } from '../../src/cache/redis/circuit-breaker.ts'

/** A server that can be made to fail, and that records the calls. */
class Server {
  well = true
  /** The server answers, but later than the command timeout. */
  slow = false
  reached = 0
  removed: string[] = []
  cleared: string[] = []
  /** Runs while the dirty keys are being removed. */
  meanwhile = async () => {}

  async reach() {
    this.reached++
    this.answer()
  }
  async remove(keys: readonly string[]) {
    this.answer()
    await this.meanwhile()
    this.removed.push(...keys)
    return keys.length
  }
  async announce() {
    this.answer()
  }
  removeEventually(keys: readonly string[]) {
    return this.remove(keys)
  }
  async checkPace() {
    if (this.slow) throw new Error('too slow')
  }
  async clear(prefix: string) {
    this.answer()
    await this.meanwhile()
    this.cleared.push(prefix)
    return 1
  }
  clearEventually(prefix: string) {
    return this.clear(prefix)
  }
  answer() {
    if (!this.well) throw new Error('no answer')
  }
}

/** Returns a breaker that has closed, with its server. */
async function closedBreaker(options: ConstructorParameters<typeof CircuitBreaker>[1] = {}) {
  const server = new Server()
  const breaker = new CircuitBreaker(server, options)
  expect(breaker.state).toBe('open')
  expect(await breaker.recover()).toBeUndefined()
  return { server, breaker }
}

describe('CircuitBreaker', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('failed() opens the breaker after three failures in a row', async () => {
    const { breaker } = await closedBreaker()
    const cause = new Error('no answer')
    breaker.failed(cause)
    breaker.failed(cause)
    breaker.succeeded()
    breaker.failed(cause)
    breaker.failed(cause)
    expect(breaker.state).toBe('closed')
    breaker.failed(cause)
    expect(breaker.state).toBe('open')
    breaker.stop()
  })

  it('recover() removes the dirty keys of a slow server, and closes the breaker only when the server is fast', async () => {
    const { server, breaker } = await closedBreaker()
    breaker.trip(new Error('no answer'))
    await breaker.remove(['key'])
    server.slow = true
    expect(await breaker.recover()).toMatchObject({ message: 'too slow' })
    expect(breaker).toMatchObject({ state: 'open', dirtyKeys: 0 })
    server.slow = false
    expect(await breaker.recover()).toBeUndefined()
    expect(breaker.state).toBe('closed')
    breaker.stop()
  })

  it('allows() returns false for a key whose removal failed until the key has been removed', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    expect(await breaker.remove(['a'])).toBe(0)
    expect([breaker.state, breaker.allows('a'), breaker.allows('b')]).toEqual(['closed', false, true])
    server.well = true
    server.meanwhile = async () => {
      expect([breaker.state, breaker.allows('b')]).toEqual(['half-open', false])
    }
    await vi.advanceTimersByTimeAsync(1000)
    expect([breaker.state, breaker.allows('a')]).toEqual(['closed', true])
    expect(server.removed).toEqual(['a'])
    expect(breaker.dirtyKeys).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('remove() does not wait while the breaker is open, and the removals are sent again before it closes', async () => {
    const { server, breaker } = await closedBreaker()
    breaker.trip(new Error('gone'))
    server.meanwhile = () => new Promise(() => {})
    expect(await breaker.remove(['a'])).toBe(0)
    server.meanwhile = async () => {}
    expect(await breaker.remove(['b'])).toBe(0)
    expect(server.removed).toEqual(['b'])
    await vi.advanceTimersByTimeAsync(1000)
    expect(server.removed).toEqual(['b', 'a', 'b'])
    expect([breaker.state, breaker.dirtyKeys]).toEqual(['closed', 0])
  })

  it('remove() opens the breaker if the removal fails again a second later', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    await breaker.remove(['a'])
    await vi.advanceTimersByTimeAsync(1000)
    expect([breaker.state, breaker.dirtyKeys]).toEqual(['open', 1])
    breaker.stop()
  })

  it('probes at intervals from 1 s doubling up to 30 s, and every second while there are dirty keys', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    server.reached = 0
    breaker.trip(new Error('gone'))
    const times: number[] = []
    for (let second = 1; second <= 100; second++) {
      await vi.advanceTimersByTimeAsync(1000)
      if (server.reached > times.length) times.push(second)
    }
    expect(times).toEqual([1, 3, 7, 15, 31, 61, 91])
    await breaker.remove(['a'])
    server.reached = 0
    await vi.advanceTimersByTimeAsync(5000)
    expect(server.reached).toBe(5)
    breaker.stop()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(server.reached).toBe(5)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('stays open if a removal fails during the recovery', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    await breaker.remove(['a'])
    server.well = true
    server.meanwhile = async () => {
      server.meanwhile = async () => {}
      server.well = false
      await breaker.remove(['b'])
      server.well = true
    }
    await vi.advanceTimersByTimeAsync(1000)
    expect(breaker.state).toBe('open')
    expect(breaker.dirtyKeys).toBe(2)
    await vi.advanceTimersByTimeAsync(1000)
    expect(breaker.state).toBe('closed')
    expect(server.removed).toEqual(['a', 'a', 'b'])
  })

  it('remove() removes at once during the recovery', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    await breaker.remove(['a'])
    server.well = true
    server.meanwhile = async () => {
      server.meanwhile = async () => {}
      expect(await breaker.remove(['b'])).toBe(1)
    }
    await vi.advanceTimersByTimeAsync(1000)
    expect(breaker.state).toBe('closed')
    expect(server.removed).toEqual(['b', 'a'])
  })

  it('clear() that fails hides the keys of the prefix until they have been removed', async () => {
    const { server, breaker } = await closedBreaker()
    expect(await breaker.clear('early:')).toBe(1)
    server.well = false
    expect(await breaker.clear('a:')).toBe(0)
    breaker.trip(new Error('no answer'))
    expect(await breaker.clear('b:')).toBe(0)
    await breaker.remove(['c'])
    expect(breaker.dirtyKeys).toBe(3)
    server.well = true
    server.meanwhile = async () => expect([breaker.state, breaker.allows('a:1')]).toEqual(['half-open', false])
    await vi.advanceTimersByTimeAsync(1000)
    expect(server).toMatchObject({ removed: ['c'], cleared: ['early:', 'a:', 'b:'] })
    expect(breaker).toMatchObject({ state: 'closed', dirtyKeys: 0 })
    server.meanwhile = async () => {}
    server.well = false
    await breaker.clear('a:')
    expect(['a:', 'a:1', 'a', 'b:1'].map((key) => breaker.allows(key))).toEqual([false, false, true, true])
    breaker.stop()
  })

  it('removes all keys if more than 100 prefixes are dirty', async () => {
    const { server, breaker } = await closedBreaker()
    server.well = false
    for (let i = 0; i < 200; i++) await breaker.clear(`${i}:`)
    expect(breaker.dirtyKeys).toBe(101)
    server.well = true
    await vi.advanceTimersByTimeAsync(1000)
    expect(server).toMatchObject({ removed: [], cleared: [''] })
    expect(breaker).toMatchObject({ state: 'closed', dirtyKeys: 0 })
  })

  it('removes all keys if more keys are dirty than maxDirtyKeys', async () => {
    const { server, breaker } = await closedBreaker({ maxDirtyKeys: 3 })
    server.well = false
    await breaker.remove(['a', 'b', 'c'])
    expect(breaker.dirtyKeys).toBe(3)
    for (let i = 0; i < 100; i++) await breaker.remove([`${i}`])
    expect(breaker.dirtyKeys).toBe(4)
    server.well = true
    await vi.advanceTimersByTimeAsync(1000)
    expect(server).toMatchObject({ removed: [], cleared: [''] })
    expect(breaker).toMatchObject({ state: 'closed', dirtyKeys: 0 })
  })

  it('calls onChange() once for each change of its state', async () => {
    const changes: [state: string, cause: unknown][] = []
    const { server, breaker } = await closedBreaker({ onChange: (state, cause) => changes.push([state, cause]) })
    const cause = new Error('gone')
    breaker.trip(cause)
    breaker.trip(new Error('gone again'))
    server.well = false
    await vi.advanceTimersByTimeAsync(10_000)
    server.well = true
    await vi.advanceTimersByTimeAsync(10_000)
    expect(changes).toEqual([
      ['closed', undefined],
      ['open', cause],
      ['closed', undefined],
    ])
  })
})
