import type postgres from 'postgres'

/** Creates a database without any table. */
export async function createEmpty(sql: postgres.Sql, name: string): Promise<void> {
  // Linguistic collation if the server has ICU, so that no query gets byte order without asking for it.
  await sql
    .unsafe(`CREATE DATABASE ${name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`)
    .catch(() => sql.unsafe(`CREATE DATABASE ${name} TEMPLATE template0`))
}
