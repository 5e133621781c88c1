import { eq, type SQL, sql } from 'drizzle-orm'
import type { Builder } from '../../database/statement.ts'

/** The property that counts how often the index was begun. Entries of an earlier generation are not found. */
export const GENERATION = 'search'

/** Makes the expression of the current generation, so that every process writes the one that is current. */
export function currentGeneration({ tables: { properties: p } }: Pick<Builder, 'tables'>): SQL {
  return sql`coalesce((select cast(${p.value} as integer) from ${p} where ${eq(p.name, sql.raw(`'${GENERATION}'`))}), 0)`
}
