import fc from 'fast-check'
import type { QueueItem, Queues, ReceiptResult } from 'holdfast'
import { expect } from 'vitest'

export type Step =
  | { do: 'push' | 'remove'; id: string; n: number }
  | { do: 'takeAll' | 'clear' }
  | { do: 'take'; limit: number; leaseSeconds: number }
  | { do: 'ack' | 'release' | 'extend'; from: number; count: number; leaseSeconds: number }
  | { do: 'wait'; seconds: number }

const id = fc.constantFrom('a', 'b', 'c', 'd')
const leaseSeconds = fc.constantFrom(1, 2, 5)

/** A call on a queue, or a moment in which time passes. `from` and `count` choose some of the receipts given out so far. */
export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('push'), id, n: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), id, n: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('takeAll', 'clear') }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('take'), limit: fc.integer({ min: 1, max: 3 }), leaseSeconds }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('ack', 'ack', 'release', 'extend'),
      from: fc.nat(5),
      count: fc.integer({ min: 1, max: 3 }),
      leaseSeconds,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait'), seconds: fc.constantFrom(0.999, 1, 2) }) },
)

interface Queued {
  item: QueueItem
  attempts: number
  receipt?: string | undefined
  leasedUntil: number
}

/** A queue beside an array that says what the queue must do. */
export class ModelledQueue {
  #model: Queued[] = []
  /** All receipts so far, the newest first. */
  readonly #receipts: string[] = []
  readonly #queues: Queues
  readonly #session: string
  readonly #clock: { millis: number }

  constructor(queues: Queues, session: string, clock: { millis: number }) {
    this.#queues = queues
    this.#session = session
    this.#clock = clock
  }

  /** Takes a step on the queue and on its model, and compares the results. */
  async take(step: Step): Promise<void> {
    await this.#take(step)
    expect((await this.#queues.list(this.#session, 'q')).items).toEqual(this.#items())
  }

  async #take(step: Step): Promise<void> {
    switch (step.do) {
      case 'push':
        return this.#push(step.id, step.n)
      case 'remove': {
        const left = this.#model.filter(({ item }) => item.id !== step.id)
        expect(await this.#queues.remove(this.#session, 'q', step.id)).toBe(left.length < this.#model.length)
        this.#model = left
        return
      }
      case 'takeAll':
        expect(await this.#queues.takeAll(this.#session, 'q')).toEqual(this.#items())
        this.#model = []
        return
      case 'clear':
        expect(await this.#queues.clear(this.#session, 'q')).toBe(this.#model.length)
        this.#model = []
        return
      case 'take':
        return this.#lease(step.limit, step.leaseSeconds)
      case 'wait':
        this.#clock.millis += step.seconds * 1000
        return
      default:
        return this.#settle(step)
    }
  }

  async #push(id: string, n: number): Promise<void> {
    const { position } = await this.#queues.push(this.#session, 'q', { id, n })
    const known = this.#model.findIndex(({ item }) => item.id === id)
    expect(position).toBe(1 + (known < 0 ? this.#model.length : known))
    if (known < 0) this.#model.push({ item: { id, n }, attempts: 0, leasedUntil: 0 })
  }

  async #lease(limit: number, leaseSeconds: number): Promise<void> {
    const taken = await this.#queues.take(this.#session, 'q', { limit, leaseSeconds })
    const now = this.#clock.millis
    const leased = this.#model.findIndex(({ leasedUntil }) => leasedUntil > now)
    const expected = this.#model.slice(0, leased < 0 ? limit : Math.min(limit, leased))
    for (const [i, queued] of expected.entries()) {
      queued.attempts += 1
      queued.leasedUntil = now + leaseSeconds * 1000
      queued.receipt = taken[i]?.receipt
    }
    expect(taken).toEqual(expected.map(({ item, attempts, receipt }) => ({ item, receipt, attempt: attempts })))
    this.#receipts.unshift(...taken.map(({ receipt }) => receipt))
  }

  /** Acknowledges, releases or extends. */
  async #settle(step: Step & { from: number; count: number; leaseSeconds: number }): Promise<void> {
    const receipts = this.#receipts.slice(step.from, step.from + step.count)
    const isOneOf = ({ receipt }: Queued) => receipt !== undefined && receipts.includes(receipt)
    const isHeld = (text: string) => this.#model.some(({ receipt }) => receipt === text)
    const expected: ReceiptResult = {
      held: receipts.filter(isHeld),
      lost: receipts.filter((text) => !isHeld(text)),
    }
    const { leaseSeconds } = step
    if (step.do === 'ack') {
      expect(await this.#queues.ack(receipts)).toEqual(expected)
      this.#model = this.#model.filter((queued) => !isOneOf(queued))
    } else if (step.do === 'release') {
      expect(await this.#queues.release(receipts)).toEqual(expected)
      for (const queued of this.#model.filter(isOneOf)) Object.assign(queued, { receipt: undefined, leasedUntil: 0 })
    } else {
      expect(await this.#queues.extend(receipts, { leaseSeconds })).toEqual(expected)
      const leasedUntil = this.#clock.millis + leaseSeconds * 1000
      for (const queued of this.#model.filter(isOneOf)) queued.leasedUntil = leasedUntil
    }
  }

  #items(): QueueItem[] {
    return this.#model.map(({ item }) => item)
  }
}
