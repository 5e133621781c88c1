import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import type { Page, PageOptions } from '../database/paging/page.ts'
import { isStorageError, type StorageErrorCode } from '../errors.ts'
import type { StorageOptions } from '../storage/options.ts'
import type { Storage } from '../storage/types.ts'

/** One requirement, for any test runner: `for (const { name, run } of cases) it(name, run)`. */
export interface ContractCase {
  name: string
  /** Rejects with an AssertionError if the requirement is not met. */
  run(): Promise<void>
}

/** Opens the storage under test. It must pass the options on: the cases test expiry by advancing the clock. */
export type OpenStorage = (options: Pick<StorageOptions, 'now' | 'maintenance'>) => Promise<Storage>

/** What the body of a case is given. */
export interface Fixture {
  /** Opened for this case alone. Its database may be shared with other cases. */
  storage: Storage
  /** Returns an id or a key that no other case uses. The same text gives the same name. */
  name(text?: string): string
  /** The clock of `storage`. */
  clock: Clock
}

/** Case bodies by their names, such as `create() refuses an id that is taken`. */
export type Cases = Record<string, (fixture: Fixture) => Promise<void>>

/** A clock that stands still until a case advances it, so that most rows of a case have equal times. */
export class Clock {
  #millis = Date.now()

  readonly now = (): Date => new Date(this.#millis)

  /** Returns the time in `seconds` from now. */
  after(seconds: number): Date {
    return new Date(this.#millis + seconds * 1000)
  }

  advance(seconds: number): void {
    this.#millis += seconds * 1000
  }
}

/**
 * Builds the cases of a suite. The group `sessions` and the name `create() refuses ...` make `sessions.create() refuses
 * ...`. Each case opens a storage and closes it, whatever the outcome.
 */
export function contractCases(open: OpenStorage, groups: Record<string, Cases>): ContractCase[] {
  return Object.entries(groups).flatMap(([group, cases]) =>
    Object.entries(cases).map(([name, body]) => ({
      name: `${group}${/^[\w.]+\(\)/.test(name) ? '.' : ' '}${name}`,
      run: () => runCase(open, body),
    })),
  )
}

async function runCase(open: OpenStorage, body: Cases[string]): Promise<void> {
  const clock = new Clock()
  const caseId = randomUUID()
  const storage = await open({ now: clock.now, maintenance: false })
  try {
    await body({ storage, clock, name: (text = '') => `${caseId}/${text}` })
  } finally {
    await storage.close()
  }
}

/** Builds one case for each input, so that the name of a failed case tells the input. */
export function eachInput<T, F = Fixture>(
  inputs: readonly T[],
  nameOf: (input: T) => string,
  body: (input: T, fixture: F) => Promise<void>,
): Record<string, (fixture: F) => Promise<void>> {
  const cases: Record<string, (fixture: F) => Promise<void>> = {}
  for (const input of inputs) {
    const name = nameOf(input)
    assert.ok(!(name in cases), `two inputs make the case "${name}"`)
    cases[name] = (fixture) => body(input, fixture)
  }
  return cases
}

/** Returns a value as it is shown in the name of a case: on one line, with long texts cut. */
export function shown(value: unknown): string {
  return inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 5, maxStringLength: 20 })
}

/** Asserts that the call is rejected with this code. */
export async function refused(call: Promise<unknown>, code: StorageErrorCode): Promise<void> {
  await assert.rejects(call, { name: 'StorageError', code })
}

/** Asserts that the call is rejected with this very error. assert.rejects() recognises no error of another realm. */
export async function failsWith(call: Promise<unknown>, expected: Error): Promise<void> {
  await assert.rejects(call, (error) => error === expected)
}

/** Asserts that the call is rejected as INVALID_INPUT with a problem at `path`. `input` names the input in a failure. */
export async function invalid(call: Promise<unknown>, path: string, input = path): Promise<void> {
  const isRefusal = (error: unknown) => {
    assert.ok(isStorageError(error, 'INVALID_INPUT'), `${input}: ${error}`)
    const problem = error.details.problems.find((found) => found.path === path)
    assert.ok(problem, `${input}: expected a problem at ${path}, got: ${error.message}`)
    assert.ok(error.message.split('\n').includes(`${path}: ${problem.message}`))
    return true
  }
  await assert.rejects(call, isRefusal, `${input}: expected INVALID_INPUT, but the call succeeded`)
}

/** Asserts that a list refuses every cursor that none of its pages has handed out. */
export async function badCursors(list: (cursor: string) => Promise<unknown>): Promise<void> {
  const contents = [
    [],
    [1],
    ['x', 'y'],
    [1, 2, 3],
    [1.5, 'x\0'],
    [null, null],
    [8.64e15, 'x'],
    [-1e14, 'x'],
    { a: 1 },
    'x',
    ...[['x'], [1], [1, 'x']].map((key) => ['another list', ...key]),
  ]
  for (const cursor of ['', 'x', '!', '1e3', '-1', '\0', 'ü']) {
    await invalid(list(cursor), 'options.cursor', `cursor ${shown(cursor)}`)
  }
  for (const content of contents) {
    const cursor = Buffer.from(JSON.stringify(content)).toString('base64url')
    await invalid(list(cursor), 'options.cursor', `cursor of ${shown(content)}`)
  }
}

/** Reads a list page by page and returns all items. Asserts that only the last page is short and has no cursor. */
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

/** Prefixes that a naive scan confuses: LIKE's wildcards, letter case, and the first and last code points. */
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

/** Compares two texts by their bytes in UTF-8, which is the order of both databases. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Returns a promise and the function that resolves it. */
export function signal(): { reached: Promise<void>; reach: () => void } {
  let reach: () => void = () => {}
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  return { reached, reach }
}

/** Returns what `make` makes of the indexes from 0 to `count - 1`. */
export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}
