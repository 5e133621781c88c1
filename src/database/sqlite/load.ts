import { createRequire } from 'node:module'
import { join } from 'node:path'
import type BetterSqlite3 from 'better-sqlite3'
import { importDriver, unsupportedDriver } from '../../import-driver.ts'

/** package.json names the same range. Version 13 needs Node 22. */
const SUPPORTED_VERSIONS = '^12 || ^13'

/**
 * Loads better-sqlite3 and its binary. Safe to repeat.
 *
 * @throws {DRIVER_MISSING} when the package is not installed, was not compiled, or does not suit this version of Node
 */
export function loadBetterSqlite3(): Promise<typeof BetterSqlite3> {
  return importDriver('better-sqlite3', async () => {
    const { default: Database } = await import('better-sqlite3')
    const major = installedMajor()
    const newest = newestMajor()
    if (major !== undefined && (major < 12 || major > newest)) {
      const supported = newest === 12 ? '^12 with Node 20' : SUPPORTED_VERSIONS
      throw unsupportedDriver('better-sqlite3', supported, String(newest))
    }
    if (nodeMajor >= 24 && (major ?? 12) < 13) uncollected = []
    const probe = new Database(':memory:') // loads the binary
    probe.close()
    keepFromCollector(probe)
    return Database
  })
}

const nodeMajor = Number.parseInt(process.versions.node, 10)

/** Defined if better-sqlite3 may abort the process when its objects are collected, as version 12 does on Node 24. */
let uncollected: object[] | undefined

/** Keeps a connection or an evicted statement until the process ends, if its collection may abort the process. */
export function keepFromCollector(object: object): void {
  uncollected?.push(object)
}

/** Returns true if a thread may load better-sqlite3 and end: its objects are collected then. */
export function endsSafely(): boolean {
  return uncollected === undefined
}

/** Returns the newest major version for this Node. Version 13 needs Node 22, and crashes an older one instead of failing. */
function newestMajor(): number {
  return nodeMajor < 22 ? 12 : 13
}

/** Returns the function that requires and finds packages as they are installed. */
export function requireInstalled(): NodeJS.Require {
  const requireFrom = createRequire // by this name, webpack would find modules in its bundle instead
  return requireFrom(import.meta.url ?? join(process.cwd(), 'package.json')) // a bundle in CommonJS has no import.meta.url
}

/** Returns the major version of the installed package. Returns undefined if it cannot be found from here. */
function installedMajor(): number | undefined {
  try {
    const { version } = requireInstalled()('better-sqlite3/package.json')
    return Number.parseInt(version, 10)
  } catch {
    return undefined
  }
}
