/** Interval between two questions. Until the next one, reads may return stale rows of a demoted server. */
const WATCH_MILLIS = 2000

export interface WatchedServer {
  /** Returns a section of INFO, or undefined if the server is not to be asked now. */
  info(section: 'server' | 'replication'): Promise<string | undefined>
  /** Returns the run id that the keys in use belong to. */
  run(): string
  /** Reports that the server has become a replica, or was restarted. */
  onChange(cause: Error): void
}

/**
 * Notices that the server behind an open connection has changed its role or its run id. A managed failover may demote a
 * server without closing the connection, and a replica answers with rows whose invalidations it has not received.
 */
export class ServerWatch {
  readonly #timer: NodeJS.Timeout

  constructor(server: WatchedServer) {
    // A command that fails is counted by the circuit breaker.
    this.#timer = setInterval(() => void check(server).catch(() => {}), WATCH_MILLIS).unref()
  }

  /** Clears the timer. Safe to repeat. */
  stop(): void {
    clearInterval(this.#timer)
  }
}

async function check({ info, run, onChange }: WatchedServer): Promise<void> {
  const known = run()
  const [server, replication] = await Promise.all([info('server'), info('replication')])
  if (server === undefined || replication === undefined || run() !== known) return
  if (isReplica(replication)) onChange(new Error('The server has become a replica'))
  else if (runOf(server) !== known) onChange(new Error('The server was restarted'))
}

/** Returns true if INFO says that the server follows another one. */
export function isReplica(info: string): boolean {
  return /^role:slave/m.test(info)
}

/**
 * Returns the run id from INFO. Some Redis-compatible servers have none; they are taken for one run that never ends.
 */
export function runOf(info: string): string {
  return /^run_id:(\w{1,12})/m.exec(info)?.[1] ?? ''
}

/** Returns the name and the version of the server from INFO, such as `Redis 7.2.4` or `Valkey 8.0.1`. */
export function serverOf(info: string): string | undefined {
  const [, name] = /^server_name:(\w+)/m.exec(info) ?? []
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1]
  if (name === 'valkey' && valkey !== undefined) return `Valkey ${valkey}`
  const version = /^redis_version:(\S+)/m.exec(info)?.[1]
  return version === undefined ? undefined : `Redis ${version}`
}
