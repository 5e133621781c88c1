import { execFile, execFileSync } from 'node:child_process'
import { chownSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { postgresBinaries, redisBinary } from './binaries.ts'
import { freePort, type Identity, ServerProcess } from './server-process.ts'
import { temporaryDirectory } from './temporary.ts'

const run = promisify(execFile)

const password = 'the password of the tests'

export interface PostgresOptions {
  port?: number
  /** Default false: a crash of the machine may lose data, a crash of the server does not. */
  fsync?: boolean
  /** Further settings, as in postgresql.conf. */
  settings?: Record<string, string>
}

/** A private PostgreSQL. It ends with the process that started it, even if that is killed. */
export interface PostgresServer {
  /** With the superuser `postgres`, its password, and the database `postgres`. */
  readonly url: string
  readonly port: number
  readonly dataDir: string
  /** The process id of the postmaster. Throws while the server is down. */
  readonly pid: number
  /** Starts the server again, with the same port and data. */
  start(): Promise<void>
  /** Stops the server. `fast` (default) rolls back open transactions, `immediate` needs recovery, `smart` waits for clients. */
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>
  kill9(): Promise<void>
}

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const binaries = postgresBinaries()
  const port = options.port ?? (await freePort())
  const identity = unprivileged()
  const directory = temporaryDirectory('postgres')
  const dataDir = join(directory, 'data')
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, password)
  if (identity) for (const path of [directory, passwordFile]) chownSync(path, identity.uid, identity.gid)

  const cluster = ['-D', dataDir, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '-N']
  const initialize = (locale: string) =>
    run(join(binaries, 'initdb'), [...cluster, `--locale=${locale}`], { cwd: directory, ...identity })
  await initialize('C.UTF-8').catch(() => initialize('C')) // macOS may lack C.UTF-8

  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    dynamic_shared_memory_type: 'mmap', // in dataDir, so that kill -9 leaves nothing elsewhere
    ...(options.fsync ? {} : { fsync: 'off', full_page_writes: 'off' }),
    ...options.settings,
  }
  const server = new ServerProcess({
    program: join(binaries, 'postgres'),
    args: ['-D', dataDir, ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)],
    directory,
    identity,
    ready: (pid) => postmasterReady(dataDir, pid),
  })
  await server.start()
  return {
    url: `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    port,
    dataDir,
    get pid() {
      return server.pid
    },
    start: () => startAfterCrash(server),
    stop: (mode = 'fast') => server.end(({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const)[mode]),
    kill9: () => killWithBackends(server),
  }
}

/** Returns true if the postmaster has written `ready` into its lock file, as pg_ctl checks it. */
function postmasterReady(dataDir: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')
    return lines[0] === String(pid) && ['ready', 'standby'].includes(lines[7]?.trim() ?? '')
  } catch {
    return false
  }
}

/** Kills the postmaster and its backends: a busy backend would finish its query. Without /proc, it does. */
async function killWithBackends(server: ServerProcess): Promise<void> {
  const children = `/proc/${server.pid}/task/${server.pid}/children`
  const backends = existsSync(children) ? (readFileSync(children, 'utf8').match(/\d+/g) ?? []) : []
  await server.end('SIGKILL')
  for (const backend of backends) {
    try {
      process.kill(Number(backend), 'SIGKILL')
    } catch {} // the backend has ended by itself
  }
}

/** Starts a killed server, with retries: its shared memory is in use until the last of its backends has ended. */
async function startAfterCrash(server: ServerProcess): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await server.start()
    } catch (error) {
      if (attempt === 50 || !String(error).includes('shared memory block')) throw error
      await sleep(100)
    }
  }
}

/** Returns a user that may run PostgreSQL, which refuses to run as root. Undefined means the user of this process. */
export function unprivileged(): Identity | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string, user: string) =>
    Number(execFileSync('id', [flag, user], { stdio: ['ignore', 'pipe', 'ignore'] }))
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: id('-u', user), gid: id('-g', user) }
    } catch {} // no such user
  }
  throw new Error('PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it.')
}

export interface RedisOptions {
  port?: number
  /** Further arguments of redis-server, such as `['--requirepass', 'secret']`. */
  args?: string[]
}

/** A private Redis. It ends with the process that started it, even if that is killed. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  /** Throws while the server is down. */
  readonly pid: number
  /** Stops the process with SIGSTOP: the server keeps its connections but answers nothing. */
  freeze(): void
  thaw(): void
  kill9(): Promise<void>
  /** Starts the server with its last snapshot, which a SAVE or `restart({ keepData: true })` has written. */
  start(): Promise<void>
  /** Restarts the server with an empty database, or with its data if `keepData` is set. */
  restart(options?: { keepData?: boolean }): Promise<void>
  stop(): Promise<void>
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort())
  const directory = temporaryDirectory('redis')
  const server = new ServerProcess({
    program: redisBinary(),
    // A save point that is never reached: no snapshot during a test, but one at SIGTERM.
    args: [
      '--bind',
      '127.0.0.1',
      '--port',
      String(port),
      '--dir',
      directory,
      '--save',
      '86400 100000000',
      ...(options.args ?? []),
    ],
    directory,
    ready: () => redisAnswers(port),
  })
  await server.start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return server.pid
    },
    freeze: () => void process.kill(server.pid, 'SIGSTOP'),
    thaw: () => void process.kill(server.pid, 'SIGCONT'),
    kill9: () => server.end('SIGKILL'),
    start: () => server.start(),
    async restart({ keepData = false } = {}) {
      await server.end(keepData ? 'SIGTERM' : 'SIGKILL')
      if (!keepData) rmSync(join(directory, 'dump.rdb'), { force: true })
      await server.start()
    },
    stop: () => server.end('SIGKILL'),
  }
}

function redisAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const finish = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', (reply) => finish(!reply.toString().startsWith('-LOADING'))) // -NOAUTH counts as an answer
    socket.setTimeout(1000, () => finish(false))
    socket.once('error', () => finish(false))
    socket.once('close', () => finish(false))
  })
}
