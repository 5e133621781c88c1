import { chownSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { pgbouncerBinary } from './binaries.ts'
import { freePort, ServerProcess } from './server-process.ts'
import { unprivileged } from './servers.ts'
import { temporaryDirectory } from './temporary.ts'

export interface PgBouncerOptions {
  /** Default `transaction`. */
  poolMode?: 'session' | 'transaction' | 'statement'
  /** The number of connections to the server. Default 2. */
  poolSize?: number
}

/** A private PgBouncer in front of one database. It ends with the process that started it, even if that is killed. */
export interface PgBouncer {
  /** The URL of the database behind the pooler. */
  readonly url: string
  stop(): Promise<void>
}

export async function startPgBouncer(
  databaseUrl: string,
  { poolMode = 'transaction', poolSize = 2 }: PgBouncerOptions = {},
): Promise<PgBouncer> {
  const { hostname, port: serverPort, pathname, username, password } = new URL(databaseUrl)
  const port = await freePort()
  const directory = temporaryDirectory('pgbouncer')
  const identity = unprivileged()
  const name = pathname.slice(1)
  const files = {
    'pgbouncer.ini': `
[databases]
${name} = host=${hostname} port=${serverPort || 5432} dbname=${name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${join(directory, 'users')}
pool_mode = ${poolMode}
default_pool_size = ${poolSize}
max_client_conn = 200
`,
    users: `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`,
  }
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(directory, file), text)
    if (identity) chownSync(join(directory, file), identity.uid, identity.gid)
  }
  if (identity) chownSync(directory, identity.uid, identity.gid)
  const server = new ServerProcess({
    program: pgbouncerBinary(),
    args: [join(directory, 'pgbouncer.ini')],
    directory,
    identity,
    ready: () => listens(port),
  })
  await server.start()
  return {
    url: Object.assign(new URL(databaseUrl), { hostname: '127.0.0.1', port: String(port) }).href,
    stop: () => server.end('SIGKILL'),
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
