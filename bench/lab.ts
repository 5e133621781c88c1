import { join } from 'node:path'
import type { Logger, openStorage, Storage, StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { startPostgres } from '../test/setup/servers.ts'
import { temporaryDirectory } from '../test/setup/temporary.ts'
import type { Effort } from './harness.ts'

export interface LabOptions {
  /** The storage that is measured: what users install, built. */
  subject: { openStorage: typeof openStorage; url: string } // the url is that of its module
  effort: Effort
  /** The rows' largest conversation and largest number of sessions. */
  messages: number
  sessions: number
  /** The size of the blob that is streamed. */
  blobBytes: number
}

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} }

/** Where rows are measured: files and a PostgreSQL of their own, durable as in production. */
export class Lab {
  readonly options: LabOptions
  #databases = 0
  readonly #made = new Map<string, Promise<unknown>>()
  readonly #closing: (() => Promise<void>)[] = []

  constructor(options: LabOptions) {
    this.options = options
  }

  /** What several rows share: made at its first use, closed with the lab. */
  once<T>(name: string, make: () => Promise<T>, close?: (made: T) => Promise<void>): Promise<T> {
    const known = this.#made.get(name)
    if (known) return known as Promise<T> // made under this name before
    const made = make()
    this.#made.set(name, made)
    if (close) this.#closing.unshift(async () => close(await made))
    return made
  }

  /** The path of a SQLite file that is not there yet. */
  file(): string {
    return join(temporaryDirectory('bench'), 'agent.db')
  }

  /** The URL of a new, empty database. */
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

  /** The storage under test, without timers and in silence. */
  open(config: StorageConfig): Promise<Storage> {
    return this.options.subject.openStorage(config, { maintenance: false, logger: silent })
  }

  async close(): Promise<void> {
    for (const close of this.#closing) await close()
  }
}
