import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const debianPostgres = '/usr/lib/postgresql'

/** The directory of PostgreSQL's programs. Installs PostgreSQL if it is absent and that can be done. */
export function postgresBinaries(): string {
  return found('PostgreSQL', 'postgresql', ['initdb', 'postgres'], 'TEST_POSTGRES_URL')
}

/** The path of redis-server. Installs it if it is absent and that can be done. */
export function redisBinary(): string {
  return join(found('Redis', 'redis-server', ['redis-server'], 'TEST_REDIS_URL'), 'redis-server')
}

/** Returns the path of pgbouncer. Installs PgBouncer if it is absent and that can be done. */
export function pgbouncerBinary(): string {
  return join(found('PgBouncer', 'pgbouncer', ['pgbouncer']), 'pgbouncer')
}

function found(server: string, aptPackage: string, programs: string[], variable?: string): string {
  // All of them from one directory: programs of two versions do not work together.
  const find = () => searchPath().find((directory) => programs.every((program) => existsSync(join(directory, program))))
  const directory = find() ?? (install(aptPackage) ? find() : undefined)
  if (directory !== undefined) return directory
  throw new Error(
    `The tests need ${server}: ${programs.join(' and ')} not found on the PATH. Install it ` +
      `(Debian, Ubuntu: sudo apt-get install ${aptPackage})${variable ? `, or set ${variable} if a running server will do` : ''}.`,
  )
}

function searchPath(): string[] {
  const versions = existsSync(debianPostgres) ? readdirSync(debianPostgres) : []
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a))
  return [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin', // of Debian's PgBouncer, which the PATH of a user may lack
    ...newestFirst.map((version) => join(debianPostgres, version, 'bin')),
  ]
}

function install(aptPackage: string): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return false
  const options = { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const
  execFileSync('apt-get', ['update', '-q'], options)
  execFileSync('apt-get', ['install', '-yq', '--no-install-recommends', aptPackage], options)
  return true
}
