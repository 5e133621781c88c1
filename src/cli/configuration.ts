import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathOfFileUrl } from '../config/file-url.ts'
import { describeDatabase, loadStorageConfig, type StorageConfig } from '../index.ts'
import { UsageError } from './exit-codes.ts'
import type { Given } from './given.ts'

/** Where the storage is. */
export interface Configuration {
  /** What the configuration was read from, for people. */
  readonly source: string
  readonly config: StorageConfig
  /** True if the configuration says no more than which database it is, and perhaps where its blobs are. */
  readonly isBare?: boolean
}

const FILE = 'agent.yml'

const NOWHERE = `there is no configuration. Give --config FILE or --database <url or file>, set HOLDFAST_CONFIG, or work in a directory with ${FILE}`

/** Finds and reads the configuration that the options, the environment or the directory name. */
export async function findConfiguration(
  given: Given,
  { env, cwd }: { env: NodeJS.ProcessEnv; cwd: string },
): Promise<Configuration> {
  const [database, blobs, file] = [given.text('database'), given.text('blobs'), given.text('config')]
  if (database !== undefined && file !== undefined) throw new UsageError('give --config or --database, not both')
  if (blobs !== undefined && database === undefined) throw new UsageError('--blobs goes with --database')
  if (database !== undefined) return bareConfiguration(database, blobs)
  const path = file ?? (env.HOLDFAST_CONFIG || nearestFile(cwd))
  if (path === undefined) throw new UsageError(NOWHERE)
  return { source: relative(cwd, path) || path, config: await loadStorageConfig(path, { env }) }
}

/** Reads the configuration that a file, a url or the path of an SQLite file names. */
export async function namedConfiguration(place: string): Promise<Configuration> {
  if (/\.(?:ya?ml|json)$/i.test(place)) return { source: place, config: await loadStorageConfig(place) }
  return bareConfiguration(place)
}

/** A url that is no path and no PostgreSQL. Other tools name SQLite's files by such urls, too. */
const OTHER_URL = /^(?!file:|postgres(?:ql)?:)(?:[a-z][a-z0-9+.-]*:\/\/|sqlite3?:)/i

function bareConfiguration(database: string, blobs?: string): Configuration {
  const [other] = OTHER_URL.exec(database) ?? [] // the rest may be a password
  if (other !== undefined) {
    const message = `${other} names no database that Holdfast can use: give postgres://user@host/database, or the path of an SQLite file`
    throw new UsageError(message)
  }
  const config: StorageConfig = {
    database: /^postgres(?:ql)?:/.test(database)
      ? { type: 'postgres', url: database }
      : { type: 'sqlite', path: database },
    ...(blobs !== undefined && { blobStore: { type: 'local', storePath: blobs } }),
  }
  return { source: '--database', config, isBare: true }
}

function nearestFile(directory: string): string | undefined {
  const path = join(directory, FILE)
  if (existsSync(path)) return path
  const parent = dirname(directory)
  return parent === directory ? undefined : nearestFile(parent)
}

/** Returns a configuration that opens an SQLite file for reading only. The other databases have no such option. */
export function forReading(config: StorageConfig): StorageConfig {
  const { database } = config
  if (database?.type !== 'sqlite') return config
  return { ...config, database: { ...database, options: { ...database.options, readonly: true } } }
}

const BLOBS_MISSING =
  'this database keeps blobs in a store: name its configuration file, or with --database also --blobs DIR'

/**
 * Completes a bare configuration. The search is switched as the programs have it:
 * a storage without it would mark their index as out of date.
 */
export async function completed(
  { config, isBare = false }: Configuration,
  { needsBlobs, makesStore }: { needsBlobs: boolean; makesStore: boolean },
): Promise<StorageConfig> {
  if (!isBare || config.database === undefined) return config
  const storePath = config.blobStore?.type === 'local' ? config.blobStore.storePath : undefined
  // To open it would make the directory, and bind the database to it.
  if (storePath !== undefined && !makesStore && !existsSync(pathOfFileUrl(storePath) ?? storePath)) {
    throw new UsageError(`there is no blob store in ${storePath}: correct --blobs`)
  }
  const { search, hasBlobStore, rowLevelSecurity } = await describeDatabase(config)
  if (needsBlobs && hasBlobStore && config.blobStore === undefined) throw new UsageError(BLOBS_MISSING)
  const options = { search, ...(rowLevelSecurity && { rowLevelSecurity }) }
  return { ...config, database: { ...config.database, options } as StorageConfig['database'] }
}
