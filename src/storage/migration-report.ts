import type { ResolvedDatabase } from '../config/resolved.ts'

/** Options of `migrateStorage()`. */
export interface MigrateOptions {
  /** The directory that relative paths of the configuration start from. Default: the working directory. */
  baseDir?: string | undefined
  /** Says what is missing, and changes nothing. Default false. */
  dryRun?: boolean | undefined
}

/** A step from one version of the schema to the next. */
export interface SchemaMigration {
  /** Its place in the history, from 0. */
  number: number
  /** Its statements, in the dialect of the database. */
  sql: string[]
}

/** What `migrateStorage()` did, or with `dryRun` would do. */
export interface MigrationReport {
  database: ResolvedDatabase['type']
  /** With `dryRun`: the name and the version of the server, or of the library. Not given if there is no SQLite file yet. */
  server?: string
  /** With `dryRun`: the size of the database in bytes. Not given if there is no SQLite file yet. */
  bytes?: number
  /** How many migrations this version of the package knows. */
  known: number
  /** The migrations that the call applied, or with `dryRun` those that are pending. Empty if the schema is up to date. */
  migrations: SchemaMigration[]
}
