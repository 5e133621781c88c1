import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import postgres from 'postgres'
import { afterEach, expect, test, vi } from 'vitest'
import { checkPostgres } from '../../src/database/postgres/internals.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

afterEach(() => {
  vi.doUnmock('postgres')
  vi.resetModules()
  vi.unstubAllEnvs()
})

const REFUSAL = {
  code: 'DRIVER_MISSING',
  message: expect.stringContaining('>=3.4.7 <3.5'),
  details: { package: 'postgres', supported: '>=3.4.7 <3.5' },
}

test('checkPostgres() accepts the installed postgres.js', async () => {
  await checkPostgres(postgres)
})

test('checkPostgres() accepts postgres.js if the environment asks for a standby', async () => {
  vi.stubEnv('PGTARGETSESSIONATTRS', 'standby')
  await checkPostgres(postgres)
})

test.each([
  ['retried', /\bretried\b/g],
  ['cancelled', /\bcancelled\b/g],
  ['reject', /(?<=\b(?:this|query)\.)reject\b/g],
  ['the option socket', /(?<=\b(?:options|o)\.)socket\b/g],
])('checkPostgres() rejects a postgres.js that has renamed %s', async (_, name) => {
  await expect(checkPostgres(await postgresWithout(name))).rejects.toMatchObject(REFUSAL)
})

test('checkPostgres() rejects a driver whose query never settles', async () => {
  const client = { unsafe: () => new Promise(() => {}), end: async () => {} }
  await expect(checkPostgres((() => client) as never)).rejects.toMatchObject(REFUSAL) // the check calls only these two methods
})

test('loadPostgres() rejects an unsupported driver', async () => {
  const renamed = await postgresWithout(/\bretried\b/g)
  vi.resetModules()
  vi.doMock('postgres', () => ({ default: renamed }))
  const { loadPostgres } = await import('../../src/database/postgres/internals.ts')
  await expect(loadPostgres()).rejects.toMatchObject(REFUSAL)
})

/** Loads a copy of postgres.js in which `name` is written differently. */
async function postgresWithout(name: RegExp): Promise<typeof postgres> {
  const copy = temporaryDirectory('postgres')
  cpSync(dirname(fileURLToPath(import.meta.resolve('postgres'))), copy, { recursive: true })
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }')
  for (const file of readdirSync(copy).filter((file) => file.endsWith('.js'))) {
    const source = readFileSync(join(copy, file), 'utf8')
    writeFileSync(join(copy, file), source.replace(name, 'renamed'))
  }
  return (await import(pathToFileURL(join(copy, 'index.js')).href)).default
}
