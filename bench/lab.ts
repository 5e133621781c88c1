import { join } from 'node:path'
import type { openStorage, Storage, StorageConfig, StorageOptions } from 'holdfast'
import postgres from 'postgres'
import { startPostgres } from '../test/setup/servers.ts'
import { quiet } from '../test/setup/silent.ts'
import { temporaryDirectory } from '../test/setup/temporary.ts'
import type { Effort } from './harness.ts'

export interface LabOptions {
  /** The package under measurement, and the URL of its module. */
  subject: { openStorage: typeof openStorage; url: string }
  effort: Effort
  /** Messages in the largest conversation. */
  messages: number
  /** Largest number of sessions. */
  sessions: number
  /** Bytes of the blob that is streamed. */
  blobBytes: number
}

/** The place that rows are measured in: files and a PostgreSQL of its own, durable as in production. */
export class Lab {
  readonly options: LabOptions
  #databases = 0
  readonly #made = new Map<string, Promise<unknown>>()
  readonly #closing: (() => Promise<void>)[] = []

  constructor(options: LabOptions) {
    this.options = options
  }

  /** Returns what several rows share: made on first use, closed with the lab. */
  once<T>(name: string, make: () => Promise<T>, close?: (made: T) => Promise<void>): Promise<T> {
    const known = this.#made.get(name)
    if (known) return known as Promise<T> // made under this name before
    const made = this.#make(make, close)
    this.#made.set(name, made)
    return made
  }

  /** Makes something. What was made for it meanwhile, such as its server, is closed after it. */
  async #make<T>(make: () => Promise<T>, close?: (made: T) => Promise<void>): Promise<T> {
    const made = await make()
    if (close) this.#closing.unshift(() => close(made))
    return made
  }

  /** Returns the path of a SQLite file that does not exist yet. */
  file(): string {
    return join(temporaryDirectory('bench'), 'agent.db')
  }

  /** Creates an empty database. Returns its URL. */
  async postgresUrl(): Promise<string> {
    const { url } = await this.once(
      'PostgreSQL',
      () => startPostgres({ fsync: true }),
      (server) => server.stop(),
    )
    const name = `bench_${++this.#databases}`
    const sql = postgres(url, { max: 1 })
    await sql.unsafe(`CREATE DATABASE ${name}`)
    await sql.end()
    return Object.assign(new URL(url), { pathname: `/${name}` }).href
  }

  /** Opens the storage under measurement, without maintenance and logging. */
  open(config: StorageConfig, options: StorageOptions = {}): Promise<Storage> {
    return this.options.subject.openStorage(config, { ...quiet, ...options })
  }

  async close(): Promise<void> {
    for (const close of this.#closing) await close()
  }
}
