import { codeOf, isError, messageOf } from '../../caught.ts'
import {
  type CodeWith,
  type DatabaseAddress,
  type DatabaseErrorDetails,
  isStorageError,
  StorageError,
} from '../../errors.ts'
import { privilegeMissing } from './privileges.ts'

export function connectionLost(cause?: unknown, address?: DatabaseAddress): StorageError<'CONNECTION_LOST'> {
  return lost(': a write in flight may or may not have been committed', cause, address)
}

/** Returns the error of a call that only reads: for a lost connection one that speaks of no write, any other as it is. */
export function whileReading(error: unknown): unknown {
  if (!isStorageError(error, 'CONNECTION_LOST')) return error
  return lost(' during a read, which has changed nothing', error.cause, error.details.address)
}

function lost(when: string, cause: unknown, address: DatabaseAddress | undefined): StorageError<'CONNECTION_LOST'> {
  const message = `The connection to PostgreSQL was lost${when}${address ? ` (${placeText(address)})` : ''}`
  return new StorageError('CONNECTION_LOST', message, { cause, details: address ? { address } : {}, retryable: true })
}

export function beginRefused(cause: unknown, address: DatabaseAddress): StorageError {
  const message =
    'PostgreSQL did not begin a transaction: what was sent together with BEGIN may or may not have been committed'
  return new StorageError('CONNECTION_LOST', message, { cause, details: { address }, retryable: true })
}

export function noAnswer(address: DatabaseAddress | undefined): StorageError {
  const message = 'PostgreSQL did not answer within connectionTimeoutMillis: check the address and the network'
  const error = new StorageError('CONNECTION_FAILED', message, { retryable: true })
  return address === undefined ? error : connectionFailed(error, address)
}

export function notUtf8(encoding: string): StorageError {
  const message = `The PostgreSQL database has the encoding ${encoding}: create one with ENCODING 'UTF8', or most characters are refused`
  return new StorageError('CONNECTION_FAILED', message, { details: { encoding } })
}

export function transactionPooler(): StorageError {
  const message =
    'A pooler in transaction mode stands in front of PostgreSQL: set options.prepare: false, or let the pooler keep sessions'
  return new StorageError('CONNECTION_FAILED', message)
}

/** Makes the error of a server that answered a request for TLS with "no". It answers a retry in the same way. */
export function tlsRefused(cause: unknown): StorageError {
  const message =
    "The PostgreSQL server does not support TLS, which options.ssl or the url demands: turn TLS on in the server, or set options.ssl to 'prefer' or false"
  return new StorageError('CONNECTION_FAILED', message, { cause: withoutValues(cause) })
}

interface Meaning {
  code: CodeWith<DatabaseErrorDetails>
  message: string
  retryable?: boolean
}

/** The SQLSTATE of a statement whose plan is out of date, and of what the server does not support. */
const OUTDATED = '0A000'

/** The function of the server that reports a plan which is out of date, whatever language the message has. */
const PLAN_CHECK = 'RevalidateCachedQuery'

/** A standby refuses no other BEGIN than that of a serializable transaction. */
const NOT_ON_STANDBY: Meaning = {
  code: 'READ_ONLY',
  message:
    'The PostgreSQL server is a standby, which runs no serializable transaction; nothing was done. The connections are replaced: after a failover, the next call reaches the primary if host or url lead to it',
  retryable: true,
}

/** Meanings by SQLSTATE, by class of SQLSTATE (the first two characters), and by code of postgres.js or of a socket. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  '23505': { code: 'ALREADY_EXISTS', message: 'A row with this key exists already' },
  '23503': {
    code: 'INVALID_STATE',
    message: 'The row refers to a row that does not exist, or another row refers to it',
  },
  '25006': {
    code: 'READ_ONLY',
    message:
      'The PostgreSQL server is read-only; nothing was done. The connections are replaced: after a failover, the next call reaches the primary if host or url lead to it',
    retryable: true,
  },
  '25P02': {
    code: 'TRANSACTION_MISUSE',
    message: 'An earlier statement of this transaction failed: it can only roll back',
  },
  '28': { code: 'CONNECTION_FAILED', message: 'PostgreSQL refused the user or the password' },
  '3D000': {
    code: 'CONNECTION_FAILED',
    message: 'The PostgreSQL database does not exist: create it, or correct its name',
  },
  '40': {
    code: 'DATABASE_FAILED',
    message: 'PostgreSQL rolled the transaction back in favour of another: run it again',
    retryable: true,
  },
  '25P03': {
    code: 'TIMEOUT',
    message:
      'PostgreSQL ended a transaction that had been idle for too long (idle_in_transaction_session_timeout): it was rolled back, run it again',
    retryable: true,
  },
  '25P04': {
    code: 'TIMEOUT',
    message:
      'PostgreSQL ended a transaction that had taken too long (transaction_timeout): it was rolled back, run it again',
    retryable: true,
  },
  '26000': {
    code: 'DATABASE_FAILED',
    message:
      'A prepared statement does not exist any more: behind a pooler in transaction mode set options.prepare to false',
    retryable: true,
  },
  '3F000': {
    code: 'CONNECTION_FAILED',
    message: 'The search_path of the PostgreSQL role leads to no schema: create the schema, or set options.schema',
  },
  '42P05': {
    code: 'DATABASE_FAILED',
    message:
      'A prepared statement of this name belongs to another client: behind a pooler in transaction mode set options.prepare to false',
  },
  [OUTDATED]: {
    code: 'DATABASE_FAILED',
    message: 'A table was changed since the statement was prepared; nothing was done: run it again',
    retryable: true,
  },
  '53100': { code: 'DISK_FULL', message: "The PostgreSQL server's disk is full; the write was not done" },
  '53300': {
    code: 'CONNECTION_FAILED',
    message:
      'PostgreSQL has no connection left: lower maxConnections, or raise its max_connections or the CONNECTION LIMIT of the role or database',
    retryable: true,
  },
  '55P03': { code: 'TIMEOUT', message: 'A lock in PostgreSQL was not granted in time', retryable: true },
  '57014': {
    code: 'TIMEOUT',
    message: 'The statement was cancelled: it ran longer than options.statementTimeoutMillis, or someone cancelled it',
    retryable: true,
  },
  '57P03': { code: 'CONNECTION_FAILED', message: 'The PostgreSQL server is starting or stopping', retryable: true },
  ECONNREFUSED: {
    code: 'CONNECTION_FAILED',
    message: 'Nothing listens at the address of PostgreSQL: check host and port, and that it runs',
    retryable: true,
  },
  ENOENT: { code: 'CONNECTION_FAILED', message: 'There is no PostgreSQL socket at this path', retryable: true },
  ENOTFOUND: { code: 'CONNECTION_FAILED', message: "The PostgreSQL server's name cannot be resolved: check host" },
  EAI_AGAIN: {
    code: 'CONNECTION_FAILED',
    message: "The PostgreSQL server's name cannot be resolved now",
    retryable: true,
  },
  ...certificates(
    'that no known authority has signed: give its authority as options.ssl: { ca }',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ),
  ...certificates(
    'for another name: connect to a name that it has, or give one as options.ssl: { servername }',
    'ERR_TLS_CERT_ALTNAME_INVALID',
  ),
  ...certificates('that has expired: renew it', 'CERT_HAS_EXPIRED'),
  EHOSTUNREACH: { code: 'CONNECTION_FAILED', message: 'The PostgreSQL server cannot be reached', retryable: true },
}

function certificates(fault: string, ...codes: string[]): Record<string, Meaning> {
  const meaning: Meaning = { code: 'CONNECTION_FAILED', message: `The PostgreSQL server has a certificate ${fault}` }
  return Object.fromEntries(codes.map((code) => [code, meaning]))
}

/** The codes of a connection that ended while it was in use. Class 08 has the same meaning. */
const LOST = new Set([
  '57P01',
  '57P02',
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'ECONNRESET',
  'EPIPE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ETIMEDOUT',
])

/** The SQLSTATE of a missing privilege. */
const INSUFFICIENT_PRIVILEGE = '42501'

/** The function of the server that reports a row which a policy refuses, whatever language the message has. */
const POLICY_CHECK = 'ExecWithCheckOptions'

const ADVICE = 'set options.rowLevelSecurity of the database to true, as every program of this database must'

/** Makes the error of a user to whom policies show no row. */
export function hiddenByPolicies(): StorageError {
  return new StorageError('INVALID_STATE', `Policies of row-level security hide every row from this user: ${ADVICE}`)
}

function refusedByPolicy(error: Error, address: DatabaseAddress | undefined): StorageError {
  const message = `A policy of row-level security refused the row: ${ADVICE}`
  const details = { ...factsOf(error, INSUFFICIENT_PRIVILEGE), ...(address && { address }) }
  return new StorageError('INVALID_STATE', message, { cause: withoutValues(error), details })
}

/**
 * Returns the StorageError for an error of postgres.js or of a socket. `sql` is the statement that failed. The error
 * contains no parameter values.
 */
export function postgresError(error: unknown, address?: DatabaseAddress, sql = ''): StorageError {
  if (error instanceof StorageError) return error
  const code = codeOf(error) ?? ''
  if (LOST.has(code) || code.startsWith('08')) return connectionLost(withoutValues(error), address)
  if (isError(error) && code === INSUFFICIENT_PRIVILEGE) {
    if (Reflect.get(error, 'routine') === POLICY_CHECK) return refusedByPolicy(error, address)
    return privilegeMissing(error.message, sql, { cause: withoutValues(error), ...(address && { address }) })
  }
  const isUnsupported = isError(error) && code === OUTDATED && Reflect.get(error, 'routine') !== PLAN_CHECK
  const meaning = isUnsupported ? unsupported(sql) : (MEANINGS[code] ?? MEANINGS[code.slice(0, 2)])
  const details = { ...factsOf(error, code), ...(address && { address }) }
  const options = { cause: withoutValues(error), details, retryable: meaning?.retryable ?? false }
  if (meaning) return new StorageError(meaning.code, meaning.message, options)
  return new StorageError('DATABASE_FAILED', `PostgreSQL refused the statement (${code || 'no code'})`, options)
}

/** Returns what it means if the server does not support a statement. */
function unsupported(sql: string): Meaning | undefined {
  return sql.startsWith('BEGIN') ? NOT_ON_STANDBY : undefined
}

/** Returns true if the server accepts no writes, as a primary that a failover has demoted. */
export function isReadOnlyServer(error: StorageError): boolean {
  return isStorageError(error, 'READ_ONLY')
}

/** Returns true if the error has ended the connection. */
export function endsConnection(error: StorageError): boolean {
  if (error.code === 'CONNECTION_LOST') return true
  return isStorageError(error, 'TIMEOUT') && ['25P03', '25P04'].includes(error.details.postgresCode ?? '')
}

/** Returns true if PostgreSQL rolled everything back in favour of another transaction: a deadlock or serialization failure. */
export function wasRolledBack(error: unknown): boolean {
  return isStorageError(error, 'DATABASE_FAILED') && error.details.postgresCode?.startsWith('40') === true
}

/**
 * Returns the StorageError for a connection that could not be opened. It says where to and as whom. Keeps the server's
 * message, which has seen no values yet.
 */
export function connectionFailed(error: unknown, address: DatabaseAddress): StorageError {
  const reason = messageOf(error)
  const { message, cause, details, retryable } = refusal(error, reason)
  return new StorageError('CONNECTION_FAILED', `${message} (${placeText(address)})`, {
    cause,
    details: { ...details, address },
    retryable,
  })
}

function placeText(address: DatabaseAddress): string {
  const known = Object.entries(address).filter(([, value]) => value !== undefined)
  return known.map(([name, value]) => `${name} ${value}`).join(', ')
}

function refusal(error: unknown, reason: string): StorageError {
  const meaning = postgresError(error)
  if (isAboutTls(reason)) return withoutTls(meaning)
  if (meaning.code === 'CONNECTION_FAILED') return meaning
  const database = /^permission denied for database (.+)$/.exec(reason)?.[1]
  if (database !== undefined) return mayNotConnect(database, meaning.cause)
  const refused = /unsupported startup parameter: (\w+)/.exec(reason)?.[1]
  if (refused !== undefined) return refusedParameter(refused, meaning.cause)
  const { cause } = meaning
  const details = 'postgresCode' in meaning.details ? meaning.details : {}
  const retryable = meaning.retryable || (isError(error) && 'syscall' in error)
  const message = `The connection to PostgreSQL could not be opened: ${reason}`
  return new StorageError('CONNECTION_FAILED', message, { cause, details, retryable })
}

/** Returns true for what PostgreSQL and its hosts say to a client without TLS. */
function isAboutTls(reason: string): boolean {
  return /no pg_hba\.conf entry.*(?:no encryption|SSL off)|sslmode=require|(?:SSL|TLS)\W.*required/i.test(reason)
}

function withoutTls({ cause, details }: StorageError): StorageError {
  const message =
    "PostgreSQL does not accept this user without TLS: set options.ssl, such as 'require' (or pg_hba.conf lacks an entry for this user, database and address)"
  return new StorageError('CONNECTION_FAILED', message, {
    cause,
    details: 'postgresCode' in details ? details : {},
  })
}

function mayNotConnect(database: string, cause: unknown): StorageError {
  const message = `The PostgreSQL user may not connect to the database: GRANT CONNECT ON DATABASE ${database} to it`
  return new StorageError('CONNECTION_FAILED', message, { cause, details: { postgresCode: INSUFFICIENT_PRIVILEGE } })
}

/** Our options by the startup parameter that carries them. PgBouncer refuses the parameters unless it is told to ignore them. */
const STARTUP_OPTIONS: Readonly<Record<string, string>> = {
  search_path: 'options.schema',
  statement_timeout: 'options.statementTimeoutMillis',
}

function refusedParameter(parameter: string, cause: unknown): StorageError {
  const option = STARTUP_OPTIONS[parameter] ?? parameter
  const message = `The pooler refuses ${option} (${parameter}): leave the option out, and set it for the role: ALTER ROLE ... SET ${parameter} = ...`
  return new StorageError('CONNECTION_FAILED', message, { cause, details: { parameter } })
}

function factsOf(error: unknown, code: string): DatabaseErrorDetails {
  const facts: DatabaseErrorDetails = { postgresCode: code }
  if (isError(error)) {
    if ('constraint_name' in error) facts.constraint = String(error.constraint_name)
    if ('table_name' in error) facts.table = String(error.table_name)
  }
  return facts
}

/** Returns the driver's error without user data: postgres.js adds the parameters to an error, PostgreSQL quotes the row. */
function withoutValues(error: unknown): unknown {
  if (isError(error)) {
    const bare = new Error(
      'code' in error && /^[0-9A-Z]{5}$/.test(String(error.code)) ? `SQLSTATE ${error.code}` : error.message,
    )
    bare.stack = error.stack?.replace(/^.*(\n {4}at )/s, `${bare.message}$1`)
    return bare
  }
  return error
}
