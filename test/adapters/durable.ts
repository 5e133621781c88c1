import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'

/** The databases that outlive a process, by name. Each call makes a new one. */
export const durable: Record<string, () => Promise<StorageConfig>> = {
  sqlite: async () => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db') } }),
  postgres: async () => ({ database: { type: 'postgres', url: await freshPostgres() } }),
}
