import type { Driver } from '../../src/database/db.ts'
import type { Query } from '../../src/database/query.ts'

/** An index that contains only the current workspace: a walk over the index reads one row. */
const ONE_ROW = 'workspaces_current'

/**
 * Returns the parts of a query's plan whose cost grows with the table: scans, unlimited walks over an index, and sorts. On
 * SQLite also a parameter that makes SQLite plan again at each call.
 */
export function planFaults(driver: Driver, query: Query): Promise<string[]> {
  return driver.dialect === 'sqlite' ? sqliteFaults(driver, query) : postgresFaults(driver, query)
}

async function sqliteFaults(driver: Driver, { sql, params }: Query): Promise<string[]> {
  const numbered = sql.replaceAll(/\$\d+/g, '?')
  const rows = await driver.run({ sql: `explain query plan ${numbered}`, params, writes: false })
  const steps = rows.map((row) => String(row.at(-1)))
  const limited = / limit /i.test(sql)
  const isOfKeys = sql.includes('json_each(+?') // as many rows as the caller gives keys for, and so in PostgreSQL
  const planned = sql.replace(/^insert into "\w+" \([^)]*\) values [(),?]+/, '') // plain rows need no plan
  const repeats = /[^+]\?/.test(planned) ? ['PLAN AGAIN AT EACH CALL: a parameter has no unary plus'] : []
  const slow = steps.filter((step) => {
    if (isOfKeys && /^SCAN \w+ VIRTUAL TABLE|FOR GROUP BY$/.test(step)) return false
    if (/TEMP B-TREE FOR (ORDER|GROUP|DISTINCT)/.test(step) || step.includes('ANY(')) return true
    if (step.includes(ONE_ROW)) return false
    return step.startsWith('SCAN ') && step !== 'SCAN CONSTANT ROW' && !limited // an index scan that a limit ends only provides the order
  })
  return [...repeats, ...slow]
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  Plans?: Plan[]
}

async function postgresFaults(driver: Driver, { sql, params }: Query): Promise<string[]> {
  const send = (sql: string) => driver.run({ sql, params: [], writes: true })
  await send(`prepare planned as ${sql}`)
  try {
    const values = params.length === 0 ? '' : `(${params.map(literal).join()})`
    const [row] = await send(`explain (format json) execute planned${values}`)
    const explained = row?.[0] as { Plan: Plan }[] // EXPLAIN's format
    const faults = explained.flatMap((statement) => faultsOf(statement.Plan, false))
    return sql.includes('json_array_elements(cast($') ? faults.filter((fault) => !fault.startsWith('Sort')) : faults
  } finally {
    await send('deallocate planned')
  }
}

function faultsOf(plan: Plan, limited: boolean): string[] {
  const type = plan['Node Type']
  const whole = plan['Index Cond'] === undefined && plan['Index Name'] !== ONE_ROW
  const unbounded = type.startsWith('Index') && whole && !limited
  const fault = type === 'Seq Scan' || type.endsWith('Sort') || unbounded
  const inside = (plan.Plans ?? []).flatMap((part) => faultsOf(part, limited || type === 'Limit'))
  return fault ? [`${type} ${plan['Relation Name'] ?? ''} ${plan['Index Name'] ?? ''}`, ...inside] : inside
}

function literal(value: unknown): string {
  if (value === null) return 'null'
  const text = value instanceof Date ? value.toISOString() : String(value)
  return `'${text.replaceAll("'", "''")}'`
}
