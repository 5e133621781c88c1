// Everything that Holdfast uses of postgres.js beyond its types: three fields of Query (`retried`, `cancelled`, `reject`),
// the option `socket`, and `host` of that socket. If a release renamed a field, statements would be repeated in silence.
// So the driver is tried out once when it is loaded, on a server of canned answers. The option `onnotify` of the listener
// is not in the types either; the listener tries it out when it opens.

import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type Postgres from 'postgres'
import { codeOf } from '../../caught.ts'
import { importDriver, unsupportedDriver } from '../../import-driver.ts'

/** The versions that have these fields; package.json names the same range. */
const SUPPORTED_VERSIONS = '>=3.4.7 <3.5'

/**
 * Loads postgres.js. Safe to repeat.
 *
 * @throws {DRIVER_MISSING} when the package is not installed, or the installed version is not supported
 */
export function loadPostgres(): Promise<typeof Postgres> {
  return importDriver('postgres', async () => {
    const { default: postgres } = await import('postgres')
    await checkPostgres(postgres)
    return postgres
  })
}

/**
 * Makes a query fail instead of being sent a second time.
 *
 * If the plan of a prepared statement is out of date, postgres.js sends the statement again, but after everything sent
 * by then: behind COMMIT, outside of the transaction. It first assigns the error to `retried`. Here the assignment rejects
 * the query, and `cancelled` keeps the statement from being sent.
 */
export function onlyOnce<Q extends object>(query: Q): Q {
  return Object.defineProperty(query, 'retried', rejectOnRetry)
}

/** Shared by all queries: a closure per query would give each its own hidden class and deoptimise them. */
const rejectOnRetry: PropertyDescriptor = {
  set(this: { cancelled: unknown; reject(error: unknown): void }, error: unknown) {
    this.cancelled = true
    this.reject(error)
  },
}

/**
 * Returns the option that makes a client use `socket`, which is connected already. A second connection fails with
 * `closed()`: postgres.js would send what waits in its queue (the rest of a transaction, say) over the next socket.
 */
export function onlySocket(socket: Duplex, host: string, closed: () => Error) {
  let used = false
  Object.assign(socket, { host }) // postgres.js takes the name of the TLS server from here
  return {
    socket: () => {
      if (used || socket.destroyed) throw closed()
      used = true
      return socket
    },
  }
}

/**
 * Checks that `onlySocket` and `onlyOnce` have their effect on a driver. Takes some milliseconds.
 *
 * @throws {DRIVER_MISSING} when the driver ignores the socket, or sends a statement again
 */
export async function checkPostgres(postgres: typeof Postgres): Promise<void> {
  const server = new CannedServer()
  const client = postgres({
    ...onlySocket(server, 'localhost', () => new Error('The connection was closed')),
    host: '/socket-ignored', // a directory that does not exist: no other server is contacted
    max: 1,
    prepare: true,
    ssl: false,
    fetch_types: false,
    onnotice: () => {},
  })
  const run = () => onlyOnce(client.unsafe('select $1', ['1'], { prepare: true }))
  const closed = once(server, 'close').then(() => Promise.reject(new Error('postgres.js sent something unexpected')))
  const ticks = setInterval(() => server.tick(), 10)
  try {
    await Promise.race([run(), closed])
    const code = await Promise.race([run().then(() => 'none', codeOf), closed])
    await nextTurn() // the repeated statement would have been written by now
    if (code !== OUTDATED || server.requests !== ANSWERS.length) throw new Error('postgres.js repeated a statement')
  } catch (cause) {
    throw unsupportedDriver('postgres', SUPPORTED_VERSIONS, '3.4', cause)
  } finally {
    clearInterval(ticks)
    closed.catch(() => {})
    server.destroy()
    void client.end({ timeout: 0 })
  }
}

/** SQLSTATE of a statement whose plan is out of date. */
const OUTDATED = '0A000'

const READY = message('Z', 'I')

/** What PostgreSQL answers to a prepared statement that is run, then run again after a change of its table. */
const ANSWERS = [
  Buffer.concat([
    message('R', '\0\0\0\0'),
    // Neither "on" nor "off": suits every target_session_attrs that the environment may ask for.
    message('S', 'in_hot_standby\0-\0'),
    message('S', 'default_transaction_read_only\0-\0'),
    READY,
  ]),
  Buffer.concat([message('1', ''), message('t', '\0\x01\0\0\0\x19'), message('n', '')]),
  Buffer.concat([message('2', ''), message('C', 'SELECT 0\0'), READY]),
  Buffer.concat([message('E', `SERROR\0C${OUTDATED}\0RRevalidateCachedQuery\0\0`), READY]),
]

/** Encodes one message of PostgreSQL's protocol: type, length, body. */
function message(type: string, body: string): Buffer {
  const head = Buffer.from(`${type}....`)
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, Buffer.from(body, 'latin1')])
}

const MAX_TICKS = 100

/** A server in place of a socket. Gives one canned answer per request, and closes after a request too many. */
class CannedServer extends Duplex {
  requests = 0
  #ticks = 0

  override _read(): void {}

  override _write(_request: Buffer, _encoding: string, done: () => void): void {
    const answer = ANSWERS[this.requests++]
    if (answer === undefined) this.destroy()
    else setImmediate(() => this.push(answer)) // within the write, postgres.js is not ready for an answer
    done()
  }

  /** Closes if the client stays silent. Counts ticks: a clock would also run while something else blocks the event loop. */
  tick(): void {
    if (++this.#ticks === MAX_TICKS) this.destroy()
  }
}
