import { type DatabaseAddress, StorageError } from '../../errors.ts'

/** An object and what may not be done with it. */
interface Missing {
  /** The kind and the name of the object, such as `table kv`. */
  object: string
  /** The privileges that the statement needs on the object: at least one is missing. */
  privileges: string[]
}

/**
 * Makes the error of a statement that PostgreSQL refused for lack of a privilege. PostgreSQL names the object, and `sql`
 * says what was to be done with it. `reason` is PostgreSQL's message, which contains no values.
 */
export function privilegeMissing(
  reason: string,
  sql: string,
  { cause, address, user = address?.user ?? 'in use' }: { cause?: unknown; address?: DatabaseAddress; user?: string },
): StorageError {
  const missing = missingFrom(reason, sql)
  const details = { postgresCode: '42501', ...missing, ...(address && { address }) }
  return new StorageError(
    'PRIVILEGE_MISSING',
    `The PostgreSQL user ${user} ${remedy(reason, missing, user)}. docs/privileges.md has all grants`,
    { cause, details },
  )
}

/** Makes the error of a user who may not use a schema of its search path. */
export function schemaHidden(schema: string, user: string): StorageError {
  return privilegeMissing(`permission denied for schema ${schema}`, '', { user })
}

function remedy(reason: string, missing: Missing | undefined, user: string): string {
  // PostgreSQL speaks another language than English: its message is all there is.
  if (missing === undefined) return `lacks a privilege: ${reason}`
  const { object, privileges } = missing
  if (privileges.includes(OWNERSHIP)) return `is not the owner of ${object}: migrate as its owner`
  const [kind = '', ...name] = object.split(' ')
  return `lacks a privilege on ${object}: GRANT ${privileges.join(', ')} ON ${kind.toUpperCase()} ${name.join(' ')} TO ${user}`
}

const OWNERSHIP = 'ownership'

function missingFrom(reason: string, sql: string): Missing | undefined {
  const [, owned] = /^must be (?:the )?owner of (\w+ .+)$/.exec(reason) ?? []
  if (owned !== undefined) return { object: owned, privileges: [OWNERSHIP] }
  const [, kind, name] = /^permission denied for (\w+) (.+)$/.exec(reason) ?? []
  if (kind === undefined || name === undefined) return undefined
  return { object: `${kind} ${name}`, privileges: privilegesFor(kind, name, sql) }
}

function privilegesFor(kind: string, name: string, sql: string): string[] {
  const changesSchema = /^\s*(?:create|alter|drop)\b/i.test(sql)
  if (kind === 'schema') return changesSchema ? ['USAGE', 'CREATE'] : ['USAGE']
  if (kind === 'database') return ['CREATE']
  if (kind !== 'table') return ['USAGE']
  return changesSchema ? ['REFERENCES'] : tablePrivileges(name, sql)
}

function tablePrivileges(name: string, sql: string): string[] {
  const says = (pattern: string) => new RegExp(pattern, 'i').test(sql)
  const table = `(?:"\\w+"\\.)?"?${name.replaceAll(/\W/g, '.')}\\b`
  const inserts = says(`\\binsert into ${table}`)
  const needed = {
    SELECT: says(`\\b(?:from|join) ${table}`) || says('\\b(?:returning|where|on conflict)\\b'),
    INSERT: inserts,
    UPDATE:
      says(`\\bupdate ${table}`) ||
      (inserts && says('\\bdo update\\b')) ||
      says('\\bfor (?:(?:no key )?update|(?:key )?share)\\b'),
    DELETE: says(`\\bdelete from ${table}`),
  }
  return Object.entries(needed).flatMap(([privilege, isNeeded]) => (isNeeded ? [privilege] : []))
}
