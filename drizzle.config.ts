import { defineConfig } from 'drizzle-kit'

// DIALECT=sqlite|postgres chooses; DATABASE_URL is a file's path for SQLite, a URL for PostgreSQL; DATABASE_SCHEMA is the
// schema of the tables in PostgreSQL, 'public' by default.
const dialect = process.env.DIALECT
if (dialect !== 'sqlite' && dialect !== 'postgres') throw new Error('Set DIALECT to sqlite or postgres')

export default defineConfig({
  dialect: dialect === 'postgres' ? 'postgresql' : 'sqlite',
  schema: `./src/schema/${dialect}.ts`,
  out: `./migrations/${dialect}`,
  // A journal of our own: drizzle's default one belongs to the program whose database this is.
  migrations: { table: 'holdfast_migrations', schema: process.env.DATABASE_SCHEMA ?? 'public' },
  dbCredentials: { url: process.env.DATABASE_URL ?? '' },
})
