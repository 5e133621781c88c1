import { StorageError } from './errors.ts'

const loaded = new Map<string, unknown>()

/** Loads an optional driver when it is needed, so that nobody installs or loads one that the configuration does not name. */
export async function importDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    // Node's own look into its table of modules takes longer than SQLite takes to open a file.
    const driver = (loaded.get(name) as T | undefined) ?? (await load()) // a name has one module
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
