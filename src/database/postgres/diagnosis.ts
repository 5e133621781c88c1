import { messageOf } from '../../caught.ts'
import { type Finding, fail, firstOf, ok, warn } from '../../diagnosis/findings.ts'
import type { Driver, Execute, RowLevelSecurity } from '../db.ts'
import type { Row } from '../query.ts'

type Server = Pick<Driver, 'begin'> & { read: Execute; rowLevelSecurity: RowLevelSecurity }

/** Checks the server, the rights of the user and the state of our tables. Reads catalogs only. */
export async function diagnosePostgres(
  { begin, read, rowLevelSecurity }: Server,
  { tables, maxConnections, isSecured }: { tables: readonly string[]; maxConnections: number; isSecured: boolean },
): Promise<Finding[]> {
  return [
    await transactions(begin),
    await encoding(read),
    await writable(read),
    await privileges(read, tables),
    await indexes(read),
    await constraints(read),
    await connections(read, maxConnections),
    ...(isSecured ? [await rowLevelSecurity.check()] : []),
  ]
}

/** Runs a transaction of two statements: a pooler in statement mode refuses it, or runs them on two servers. */
async function transactions(begin: Driver['begin']): Promise<Finding> {
  const sql = 'select pg_backend_pid()'
  try {
    const transaction = await begin()
    const pids = [await transaction.run(query(sql)), await transaction.run(query(sql))].map(([row]) => row?.[0])
    await transaction.commit()
    if (pids[0] === pids[1]) return ok('transactions', 'A transaction keeps its connection')
  } catch (error) {
    return fail('transactions', `${messageOf(error)}. ${POOLER}`)
  }
  return fail('transactions', POOLER)
}

const POOLER =
  'A transaction is not possible: set pool_mode of the pooler to session, or to transaction with options.prepare: false'

async function encoding(read: Execute): Promise<Finding> {
  const [name] = await firstRow(read, "select current_setting('server_encoding')")
  if (name === 'UTF8') return ok('encoding', 'The encoding is UTF8')
  return fail('encoding', `The encoding is ${name}: create a database with ENCODING 'UTF8' and copy the data`)
}

async function writable(read: Execute): Promise<Finding> {
  const [recovery, readOnly] = await firstRow(
    read,
    "select pg_is_in_recovery(), current_setting('transaction_read_only')",
  )
  if (recovery === true) return fail('writable', 'The server is a standby: connect to the primary')
  if (readOnly === 'on') return fail('writable', 'Transactions are read-only: see default_transaction_read_only')
  return ok('writable', 'The server accepts writes')
}

async function privileges(read: Execute, tables: readonly string[]): Promise<Finding> {
  const names = tables.map((name) => `('${name}')`).join()
  const sql = `select t.name || ' ' || p.name from (values ${names}) as t (name),
    unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p (name)
    where not has_table_privilege(to_regclass(t.name), p.name) order by 1`
  const missing = (await read(sql)).map(([privilege]) => String(privilege))
  if (missing.length === 0) return ok('privileges', 'The user may read and write every table')
  const message = `The user lacks ${firstOf(missing)}: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA. See docs/privileges.md`
  return fail('privileges', message)
}

async function indexes(read: Execute): Promise<Finding> {
  const sql = `select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
    where not i.indisvalid and c.relnamespace = quote_ident(current_schema())::regnamespace order by 1`
  const invalid = (await read(sql)).map(([name]) => String(name))
  if (invalid.length === 0) return ok('integrity', 'Every index is valid')
  return fail('integrity', `The indexes ${firstOf(invalid)} are invalid: REINDEX INDEX CONCURRENTLY rebuilds them`)
}

async function constraints(read: Execute): Promise<Finding> {
  const sql = `select conname::text from pg_constraint
    where not convalidated and connamespace = quote_ident(current_schema())::regnamespace order by 1`
  const unchecked = (await read(sql)).map(([name]) => String(name))
  if (unchecked.length === 0) return ok('foreign-keys', 'Every constraint is validated')
  return fail(
    'foreign-keys',
    `The constraints ${firstOf(unchecked)} were never checked: ALTER TABLE ... VALIDATE CONSTRAINT`,
  )
}

async function connections(read: Execute, wanted: number): Promise<Finding> {
  const sql = `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (select count(*)::int from pg_stat_activity where backend_type = 'client backend')`
  const [most, used] = (await firstRow(read, sql)).map(Number)
  const message = `${used} of ${most} connections of the server are in use, and each instance may take ${wanted}`
  if (Number(used) + wanted <= Number(most)) return ok('connections', message)
  return warn('connections', `${message}: lower maxConnections, raise max_connections, or use a pooler`)
}

const query = (sql: string) => ({ sql, params: [], writes: false })

async function firstRow(read: Execute, sql: string): Promise<Row> {
  const [row = []] = await read(sql)
  return row
}
