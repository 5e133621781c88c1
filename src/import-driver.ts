import { StorageError } from './errors.ts'

const loaded = new Map<string, unknown>()

/**
 * Loads an optional driver, so that only a driver that the configuration names has to be installed. `load` runs once per
 * process. Safe to repeat.
 *
 * @throws {DRIVER_MISSING} when the package is not installed
 */
export async function importDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    // Cached here: a repeated import() takes longer than SQLite takes to open a file.
    const driver = (loaded.get(name) as T | undefined) ?? (await load()) // one module per name
    loaded.set(name, driver)
    return driver
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND') {
      const message = `The package "${name}" is not installed: run "npm install ${name}"`
      throw new StorageError('DRIVER_MISSING', message, { cause, details: { package: name } })
    }
    throw cause
  }
}
