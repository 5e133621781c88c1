import postgres from 'postgres'
import { expect, test } from 'vitest'
import { freshPostgres } from '../databases.ts'

test('leaves a connection open', async () => {
  const sql = postgres(await freshPostgres())
  expect(await sql`SELECT 'left open' AS word`).toHaveLength(1)
})
