import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Page, PageOptions } from '../database/paging/page.ts'
import { StorageError, type StorageErrorCode } from '../errors.ts'
import type { Storage, StorageOptions } from '../storage.ts'

/** One thing that must hold, for any test runner: `for (const { name, run } of cases) it(name, run)`. */
export interface ContractCase {
  name: string
  /** Rejects with an AssertionError where the contract is not kept. */
  run(): Promise<void>
}

/** Opens the storage under test; the options must be passed on, because expiry is tested by turning the clock. */
export type OpenStorage = (options: Pick<StorageOptions, 'now' | 'maintenance'>) => Promise<Storage>

/** What a case is given: a storage of its own, names that no other case uses, and a clock that stands still. */
export interface Fixture {
  storage: Storage
  /** A name of this case: an id, or a key. */
  name(text?: string): string
  clock: Clock
}

export type Cases = Record<string, (fixture: Fixture) => Promise<void>>

/** Stands still, so that ties are the rule, until it is turned on. */
export class Clock {
  #millis = Date.now()

  readonly now = (): Date => new Date(this.#millis)

  /** The time so many seconds from now. */
  after(seconds: number): Date {
    return new Date(this.#millis + seconds * 1000)
  }

  advance(seconds: number): void {
    this.#millis += seconds * 1000
  }
}

/** Each case opens a storage, and closes it whatever happens. */
export function contractCases(open: OpenStorage, groups: Record<string, Cases>): ContractCase[] {
  return Object.entries(groups).flatMap(([group, cases]) =>
    Object.entries(cases).map(([name, body]) => ({ name: `${group} ${name}`, run: () => runCase(open, body) })),
  )
}

async function runCase(open: OpenStorage, body: Cases[string]): Promise<void> {
  const clock = new Clock()
  const own = randomUUID()
  const storage = await open({ now: clock.now, maintenance: false })
  try {
    await body({ storage, clock, name: (text = '') => `${own}/${text}` })
  } finally {
    await storage.close()
  }
}

/** The call is refused with this code. */
export async function refused(call: Promise<unknown>, code: StorageErrorCode): Promise<void> {
  await assert.rejects(call, { name: 'StorageError', code })
}

/** The call is refused as INVALID_INPUT, and says where. */
export async function invalid(call: Promise<unknown>, path: string): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof StorageError && error.code === 'INVALID_INPUT', `${path}: ${error}`)
    const { problems } = error.details as { problems: { path: string; message: string }[] } // as docs/errors.md has it
    const problem = problems.find((found) => found.path === path)
    assert.ok(problem, `expected a problem at ${path}, got: ${error.message}`)
    assert.ok(error.message.split('\n').includes(`${path}: ${problem.message}`))
    return true
  })
}

/** Every item of a list, read page by page; no page but the last is short, and only the last has no cursor. */
export async function allPages<T>(list: (page: PageOptions) => Promise<Page<T>>, limit: number): Promise<T[]> {
  const items: T[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await list({ limit, cursor })
    items.push(...page.items)
    if (page.nextCursor === undefined) {
      assert.ok(page.items.length <= limit)
      return items
    }
    assert.equal(page.items.length, limit)
    assert.notEqual(page.nextCursor, cursor)
    cursor = page.nextCursor
  }
}

/** Names that a naive prefix scan mixes up: LIKE's wildcards, letter case, and the edges of the code points. */
export const AWKWARD_PREFIXES = [
  '',
  'a',
  'A',
  '%',
  '_',
  'a%',
  'a_',
  '\\',
  "'",
  'ä',
  '\ud7ff',
  '\ue000',
  '\uffff',
  '🗝',
  '\u{10ffff}',
]

/** The order of both databases: bytes of UTF-8. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** A promise and what resolves it. */
export function signal(): { reached: Promise<void>; reach: () => void } {
  let reach: () => void = () => {}
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  return { reached, reach }
}

export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}
