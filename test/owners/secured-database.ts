import { enableRowLevelSecurity, migrateStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'

let server: PostgresServer

/** The superuser. */
export let admin: postgres.Sql

beforeAll(async () => {
  server = await startPostgres()
  admin = postgres(server.url, { max: 1, onnotice: () => {} })
  await admin.unsafe("create role owner login password 'owner'; create role app login password 'app'")
})
afterAll(async () => {
  await admin.end()
  await server.stop('immediate')
})

let created = 0

/** A database whose tables belong to `owner`, and which `app` may use. */
export async function freshDatabase() {
  const name = `secured_${++created}`
  await admin.unsafe(`create database ${name} owner owner`)
  const urlOf = (user: string) =>
    Object.assign(new URL(server.url), {
      pathname: name,
      ...(user !== 'postgres' && { username: user, password: user }),
    }).href
  const configOf = (user: string, more: object = {}): StorageConfig => ({
    database: { type: 'postgres', url: urlOf(user), options: { rowLevelSecurity: true, search: true, ...more } },
    blobStore: { type: 'database' },
  })
  await migrateStorage(configOf('owner'))
  const asOwner = connect(urlOf('owner'))
  await asOwner.unsafe(`grant select, insert, update, delete on all tables in schema public to app;
    grant update on sequence events_seq_seq to app`)
  return { urlOf, configOf, asOwner, connectAs: (user: string) => connect(urlOf(user)) }
}

/** Opens one plain connection. */
function connect(url: string): postgres.Sql {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end())
  return sql
}

/** The same with policies. */
export async function securedDatabase() {
  const database = await freshDatabase()
  await enableRowLevelSecurity(database.configOf('owner'))
  return database
}
