import { isError } from './caught.ts'
import { StorageError } from './errors.ts'

const loaded = new Map<string, unknown>()

/**
 * Loads an optional driver, so that only a driver that the configuration names has to be installed. `load` runs once per
 * process. Safe to repeat.
 *
 * @throws {DRIVER_MISSING} when the package is not installed, was not compiled, or was compiled for another runtime
 */
export async function importDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    // Cached here: a repeated import() takes longer than SQLite takes to open a file.
    const driver = (loaded.get(name) as T | undefined) ?? (await load()) // one module per name
    loaded.set(name, driver)
    return driver
  } catch (cause) {
    throw remedyFor(name, cause)
  }
}

/** Returns the exports of a package in CommonJS, of which `name` is one. In a bundle of webpack, `default` has them all. */
export function exportsOf<T extends object>(imported: T, name: keyof T): T {
  return name in imported ? imported : (imported as T & { default: T }).default // as the bundle has it
}

/** Makes the DRIVER_MISSING error of a package that has the wrong version. */
export function unsupportedDriver(name: string, supported: string, install: string, cause?: unknown): StorageError {
  const message = `The installed version of the package "${name}" is not supported (it must be ${supported}): run "npm install ${name}@${install}"`
  return new StorageError('DRIVER_MISSING', message, { cause, details: { package: name, supported } })
}

/** Returns the DRIVER_MISSING error that says what to run. Returns an error that has nothing to do with installing as it is. */
function remedyFor(name: string, cause: unknown): unknown {
  const reason = isError(cause) ? cause.message : ''
  const fault = faultOf(name, reason, String(Reflect.get(Object(cause), 'code')))
  if (fault === undefined || cause instanceof StorageError) return cause
  return new StorageError('DRIVER_MISSING', `The package "${name}" ${fault}`, { cause, details: { package: name } })
}

/** Returns the predicate of the message, from what Node, Bun and Deno say. */
function faultOf(name: string, reason: string, code: string): string | undefined {
  const install = `run "npm install ${name}"`
  const rebuild = `run "npm rebuild ${name}"`
  if (process.versions.bun !== undefined && reason.includes('not yet supported in Bun')) {
    return `does not run on Bun in this version: run "bun add ${name}@13", or run the program with Node`
  }
  if (reason.includes('built against the legacy Node.js native addon API')) {
    return `does not run on Deno in this version: run "deno add npm:${name}@13", or run the program with Node`
  }
  if (/_NOT_FOUND.*better_sqlite3\.node'/s.test(`${code} ${reason}`)) {
    // Version 13 brings its binaries along, and compiles none.
    return `is installed without a binary for ${process.platform}-${process.arch}: delete node_modules/${name} and ${install}, or run "npm install ${name}@12", which compiles one`
  }
  if (reason.includes('bindings file')) {
    return `is installed but was not compiled: ${rebuild}, and allow its install script if the package manager blocks it`
  }
  const [, built, required] = /NODE_MODULE_VERSION (\d+)[\s\S]*NODE_MODULE_VERSION (\d+)/.exec(reason) ?? []
  if (built !== undefined) {
    return `was compiled for another version of Node (NODE_MODULE_VERSION ${built}, this Node needs ${required}): ${rebuild}`
  }
  if (code === 'ERR_DLOPEN_FAILED') {
    return `was compiled for another system, or its binary is damaged: delete node_modules/${name} and ${install}`
  }
  if (!code.endsWith('MODULE_NOT_FOUND')) return undefined
  const isAbsent = /"([^"]+)"|'([^']+)'/.exec(reason)?.slice(1).includes(name) ?? false
  return isAbsent
    ? `is not installed: ${install}`
    : `is not installed completely: delete node_modules/${name} and ${install}`
}
