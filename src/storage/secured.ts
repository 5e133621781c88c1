import type { ResolvedDatabase } from '../config/resolved.ts'
import type { Database } from '../database/database.ts'
import { StorageError } from '../errors.ts'

/** Returns true if the configuration has the database show a scope the rows of its owner alone. */
export function isSecured(config: ResolvedDatabase): boolean {
  return config.type === 'postgres' && config.rowLevelSecurity
}

/**
 * Checks that the policies hold, before a program relies on them.
 *
 * @throws {INVALID_STATE} when they do not
 */
export async function checkSecured({ driver }: Database): Promise<void> {
  const finding = await driver.rowLevelSecurity?.check()
  if (finding?.result === 'fail') {
    throw new StorageError('INVALID_STATE', `The database does not keep owners apart: ${finding.message}`)
  }
}
