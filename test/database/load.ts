import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Database } from '../../src/database/database.ts'
import type { Driver } from '../../src/database/db.ts'
import { read, write } from './drivers.ts'

type Kind = 'read' | 'write' | 'batch' | 'transaction'

/** The number of rows that one write inserts together. */
const WHOLE = 3

/**
 * Callers that read and write without a pause. Afterwards the database must hold every acknowledged write, and each other
 * write as a whole or not at all.
 */
export class Load {
  /** The different error codes of the failed calls, by kind. */
  readonly failures: Partial<Record<Kind, string[]>> = {}
  readonly #database: Database
  readonly #acknowledged: string[] = []
  #done = 0
  #stopped = false
  #callers: Promise<unknown> = Promise.resolve([])

  private constructor(driver: Driver) {
    this.#database = new Database(driver)
  }

  static async start(driver: Driver): Promise<Load> {
    await driver.run(write('create table wholes (id text, part int)'))
    await driver.run(write('create table writes (id text)'))
    const load = new Load(driver)
    const kinds: Kind[] = ['read', 'read', 'read', 'write', 'batch', 'batch', 'transaction', 'transaction']
    load.#callers = Promise.all([...kinds, ...kinds].map((kind) => load.#caller(kind)))
    return load
  }

  /** Waits for `millis`, and until calls that started after now have succeeded. */
  async progress(millis: number): Promise<void> {
    const until = this.#done + 20
    await sleep(millis)
    while (this.#done < until) await sleep(1)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#callers
  }

  /** Returns what was lost, written twice or half written. Empty if nothing. */
  async violations(): Promise<string[]> {
    const wholes = await this.#database.run(
      read('select id, count(*)::int, count(distinct part)::int from wholes group by id'),
    )
    const writes = await this.#database.run(read('select id, count(*)::int from writes group by id'))
    const found = new Set([...wholes, ...writes].map(([id]) => id))
    return [
      ...wholes
        .filter(([, rows, parts]) => rows !== WHOLE || parts !== WHOLE)
        .map(([id, rows]) => `${id}: ${rows} rows`),
      ...writes.filter(([, rows]) => rows !== 1).map(([id]) => `${id} was written twice`),
      ...this.#acknowledged.filter((id) => !found.has(id)).map((id) => `${id} was acknowledged and is lost`),
    ]
  }

  async #caller(kind: Kind): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#call(kind)
        this.#done++
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
        this.failures[kind] = [...new Set([...(this.failures[kind] ?? []), code])].sort()
        await sleep(1)
      }
    }
  }

  async #call(kind: Kind): Promise<void> {
    const id = `${kind} ${randomUUID()}`
    const parts = Array.from({ length: WHOLE }, (_, part) => this.#insert(id, part))
    if (kind === 'read') return void (await this.#database.run(read('select count(*) from wholes where part = $1', 1)))
    if (kind === 'write') await this.#database.run(write('insert into writes values ($1)', id))
    if (kind === 'batch') await this.#database.batch(parts)
    if (kind === 'transaction') {
      await this.#database.transaction(async (tx) => {
        for (const part of parts) await tx.transaction(async (nested) => nested.run(part))
      })
    }
    this.#acknowledged.push(id)
  }

  /** Returns an insert. Every other insert has its own SQL text, so that some are prepared already and some are not. */
  #insert(id: string, part: number) {
    return write(`insert into wholes values ($1, $2)${Math.random() < 0.5 ? '' : ` -- ${id}`}`, id, part)
  }
}
