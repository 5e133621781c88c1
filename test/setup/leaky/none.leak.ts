import postgres from 'postgres'
import { expect, test } from 'vitest'
import { freshPostgres } from '../databases.ts'

test('closes all that it opens', async () => {
  const sql = postgres(await freshPostgres())
  expect(await sql`SELECT 1 AS one`).toHaveLength(1)
  await sql.end()
})
