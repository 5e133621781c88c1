import { defineConfig } from 'drizzle-kit'

// DIALECT=sqlite|postgres chooses; DATABASE_URL is a file's path for SQLite, a URL for PostgreSQL.
const dialect = process.env.DIALECT
if (dialect !== 'sqlite' && dialect !== 'postgres') throw new Error('Set DIALECT to sqlite or postgres')

export default defineConfig({
  dialect: dialect === 'postgres' ? 'postgresql' : 'sqlite',
  schema: `./src/schema/${dialect}.ts`,
  out: `./migrations/${dialect}`,
  dbCredentials: { url: process.env.DATABASE_URL ?? '' },
})
