import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, objects } from './command-line.ts'

it('security enables, checks and disables the policies, and other commands go on', { timeout: 60_000 }, async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  await storage.scope({ ownerId: 'ada' }).messages.append('s', { role: 'user', content: 'Hello' })
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), `storage: { database: { type: postgres, url: "${url}" } }`)

  expect((await holdfast(['security', 'check'], { cwd })).code).toBe(3)
  expect(await objects(['security', 'enable'], { cwd })).toEqual([{ enabled: true }])
  const check = await holdfast(['security', 'check'], { cwd })
  expect(check).toMatchObject({ code: 3, stdout: expect.stringContaining('is a superuser') }) // as in the tests
  // Without a configuration, the database says that it has policies.
  expect(await objects(['sessions', 'ls', '--database', url], { cwd })).toMatchObject([{ id: 's', ownerId: 'ada' }])

  const sql = postgres(url, { max: 1 })
  const policies = () => sql`select 1 from pg_policy where polname like 'holdfast%'`
  expect((await policies()).length).toBeGreaterThan(30)
  expect((await holdfast(['security', 'disable'], { cwd })).code).toBe(2) // nobody can be asked
  expect(await objects(['security', 'disable', '--yes'], { cwd })).toEqual([{ enabled: false }])
  expect(await policies()).toHaveLength(0)
  await sql.end()
})
