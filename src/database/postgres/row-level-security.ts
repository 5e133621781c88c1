import { getTableColumns, getTableName } from 'drizzle-orm'
import { type Finding, fail, firstOf, ok } from '../../diagnosis/findings.ts'
import type { Tables } from '../../schema/tables.ts'
import type { Execute } from '../db.ts'

// Every policy asks two settings, which a transaction has until its end. `holdfast.owner` is the owner of a scope. The
// statements of no scope, such as those of maintenance, set `holdfast.everybody`. Without either no row is there. A setting
// that was reset is the empty text, which is also how nobody's rows are marked: hence nullif. The subqueries are evaluated
// once for a statement, not once for a row.

const OWNER = "(select nullif(current_setting('holdfast.owner', true), ''))"
const EVERYBODY = "(select current_setting('holdfast.everybody', true)) = 'on'"

interface Policy {
  readonly name: string
  readonly command: 'all' | 'select'
  readonly using: string
}

/** The policy that every table has. Its name says which rule it has: another rule gets another number. */
const ofOwner: Policy = { name: 'holdfast_owner_1', command: 'all', using: `owner_id = ${OWNER} or ${EVERYBODY}` }
const ofEverybody: Policy = { name: 'holdfast_everybody_1', command: 'all', using: EVERYBODY }

/** What a scope needs of tables whose rows have no owner. */
const SHARED: { [K in keyof Tables]?: readonly Policy[] } = {
  // Facts about the database, such as the state of the search, and the row that setCurrent() of workspaces locks.
  properties: [
    { name: 'holdfast_facts_1', command: 'select', using: `${OWNER} is not null` },
    { name: 'holdfast_lock_1', command: 'all', using: `name = 'workspaces.current' and ${OWNER} is not null` },
  ],
  // The size of a blob is that of its content. The policy of blobs applies inside.
  blobContent: [
    {
      name: 'holdfast_content_1',
      command: 'select',
      using: 'exists (select 1 from blobs where blobs.hash = blob_content.hash)',
    },
  ],
}

/** Returns the policies of each table by its name in the database. */
export function policiesOf(tables: Tables): Map<string, readonly Policy[]> {
  const entries = Object.entries(tables).map(([key, table]): [string, readonly Policy[]] => {
    const hasOwner = 'ownerId' in getTableColumns(table)
    return [getTableName(table), hasOwner ? [ofOwner] : [ofEverybody, ...(SHARED[key as keyof Tables] ?? [])]] // one of its keys
  })
  return new Map(entries)
}

/** Stands for everybody. No owner has the empty id; see NOBODY, whose file would make one more chunk to load. */
export const ANYBODY = ''

/**
 * Returns the commands that let the statements after them, until the end of the transaction, see the rows of one owner, or
 * everybody's. The owner is written as bytes, so that no owner can end the text, whatever the server takes a backslash for.
 */
export function visibility(owner: string): string {
  if (owner === ANYBODY) {
    return "SET LOCAL holdfast.everybody = 'on'; SET LOCAL holdfast.owner = ''"
  }
  const bytes = Buffer.from(owner).toString('hex').replaceAll(/../g, '\\x$&')
  return `SET LOCAL holdfast.owner = E'${bytes}'; SET LOCAL holdfast.everybody = 'off'`
}

/** Gives every table its policies, and applies them to the owner of the tables, too. Safe to repeat. */
export async function enableRowLevelSecurity(execute: Execute, tables: Tables): Promise<void> {
  for (const [table, policies] of policiesOf(tables)) {
    await dropPolicies(execute, table)
    for (const { name, command, using } of policies) {
      await execute(`create policy ${name} on ${table} for ${command} using (${using})`)
    }
    await execute(`alter table ${table} enable row level security, force row level security`)
  }
}

/** Removes the policies. Safe to repeat. */
export async function disableRowLevelSecurity(execute: Execute, tables: Tables): Promise<void> {
  for (const table of policiesOf(tables).keys()) {
    await dropPolicies(execute, table)
    await execute(`alter table ${table} disable row level security, no force row level security`)
  }
}

async function dropPolicies(execute: Execute, table: string): Promise<void> {
  const named = await execute(
    `select quote_ident(polname) from pg_policy where polrelid = to_regclass('${table}') and polname like 'holdfast\\_%'`,
  )
  for (const [name] of named) await execute(`drop policy ${name} on ${table}`)
}

/** Returns true if the tables have policies. */
export async function hasRowLevelSecurity(read: Execute): Promise<boolean> {
  const [row] = await read("select relrowsecurity from pg_class where oid = to_regclass('sessions')")
  return row?.[0] === true
}

const CHECK = 'row-level-security'
const ENABLE = 'run holdfast security enable as the owner of the tables'

/** Checks that the policies hold for this user: that every table has them, and that the user does not bypass them. */
export async function checkRowLevelSecurity(read: Execute, tables: Tables): Promise<Finding> {
  const faults = [...(await faultsOfUser(read)), ...(await faultsOfTables(read, policiesOf(tables)))]
  if (faults.length === 0) return ok(CHECK, 'Every table has its policies, and they hold for this user')
  return fail(CHECK, faults.join('. '))
}

async function faultsOfUser(read: Execute): Promise<string[]> {
  const [row = []] = await read(`select rolname::text, rolsuper, rolbypassrls, exists (
      select 1 from pg_db_role_setting s, unnest(s.setconfig) as entry (text)
      where s.setrole in (0, r.oid) and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and lower(entry.text) like 'holdfast.%')
    from pg_roles r where rolname = current_user`)
  const [name, isSuperuser, bypasses, isSet] = row
  const faults: string[] = []
  if (isSuperuser === true)
    faults.push(`The user ${name} is a superuser, who bypasses every policy: connect as another`)
  else if (bypasses === true) faults.push(`The user ${name} has BYPASSRLS: ALTER ROLE ${name} NOBYPASSRLS`)
  if (isSet === true) {
    faults.push(
      `A setting of holdfast is given to the user ${name} or to the database: ALTER ROLE or ALTER DATABASE ... RESET`,
    )
  }
  return faults
}

async function faultsOfTables(read: Execute, expected: ReadonlyMap<string, readonly Policy[]>): Promise<string[]> {
  const names = [...expected.keys()].map((name) => `('${name}')`).join()
  const rows = await read(`select t.name, c.relrowsecurity and c.relforcerowsecurity,
      coalesce((select string_agg(polname::text, ',' order by polname::text collate "C") from pg_policy
        where polrelid = c.oid and polpermissive), '')
    from (values ${names}) as t (name) left join pg_class c on c.oid = to_regclass(t.name) order by 1`)
  const unforced: string[] = []
  const other: string[] = []
  for (const [name, isForced, policies] of rows) {
    const wanted = (expected.get(String(name)) ?? []).map((policy) => policy.name).sort()
    if (isForced !== true) unforced.push(String(name))
    else if (String(policies) !== wanted.join()) other.push(String(name))
  }
  return [
    ...(unforced.length > 0 ? [`Row-level security is not enabled and forced on ${firstOf(unforced)}: ${ENABLE}`] : []),
    ...(other.length > 0 ? [`The policies of ${firstOf(other)} are not those of this version: ${ENABLE}`] : []),
  ]
}
