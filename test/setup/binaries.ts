import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const debianPostgres = '/usr/lib/postgresql'

/** Returns the directory of PostgreSQL's programs. If PostgreSQL is absent, tries to install it. */
export function postgresBinaries(): string {
  return findOrInstall('PostgreSQL', 'postgresql', ['initdb', 'postgres'], 'TEST_POSTGRES_URL')
}

/** Returns the path of redis-server. If Redis is absent, tries to install it. */
export function redisBinary(): string {
  return join(findOrInstall('Redis', 'redis-server', ['redis-server'], 'TEST_REDIS_URL'), 'redis-server')
}

/** Returns the path of pgbouncer. If PgBouncer is absent, tries to install it. */
export function pgbouncerBinary(): string {
  return join(findOrInstall('PgBouncer', 'pgbouncer', ['pgbouncer']), 'pgbouncer')
}

/** Returns a Python that can run OpenStack Swift. If Swift is absent, tries to install it. */
export function pythonWithSwift(): string {
  const find = () => ['/usr/bin/python3', 'python3'].find(hasSwift)
  const python = find() ?? (install('python3-swift') ? find() : undefined)
  if (python !== undefined) return python
  throw new Error(
    'The tests need OpenStack Swift, whose proxy speaks the protocol of S3. Install it ' +
      '(Debian, Ubuntu: sudo apt-get install python3-swift), or set TEST_S3_URL to a bucket that can be written to: ' +
      'http://<access key>:<secret key>@localhost:9000/<bucket>?region=us-east-1',
  )
}

function hasSwift(python: string): boolean {
  return spawnSync(python, ['-c', 'import swift.common.middleware.s3api.s3api'], { stdio: 'ignore' }).status === 0
}

/** Returns the path of Chromium, or of Chrome, which some machines have instead. */
export function chromiumBinary(): string {
  const chrome = searchPath().map((directory) => join(directory, 'google-chrome'))
  const found = chrome.find((path) => existsSync(path))
  if (found !== undefined) return found
  return join(findOrInstall('Chromium', 'chromium', ['chromium']), 'chromium')
}

/** Returns the directory that holds all `programs`. `variable` names the environment variable that makes them unnecessary. */
function findOrInstall(server: string, aptPackage: string, programs: string[], variable?: string): string {
  // All programs come from one directory: programs of two versions do not work together.
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
    '/usr/sbin', // Debian's PgBouncer is here, and the PATH of a user may lack it
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
