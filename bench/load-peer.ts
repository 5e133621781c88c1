import { existsSync, symlinkSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Lab } from './lab.ts'

/** Imports a package of bench/package.json. Returns undefined if `npm install --prefix bench` was not run. */
export async function loadPeer<Module>(name: string): Promise<Module | undefined> {
  try {
    return (await import(name)) as Module // the part of it that the caller declares
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/** Imports a package of bench/package.json that is installed. */
export async function requirePeer<Module>(name: string): Promise<Module> {
  const loaded = await loadPeer<Module>(name)
  if (loaded === undefined) throw new Error(`${name} is not installed: run npm install --prefix bench`)
  return loaded
}

/** Returns true if a package of bench/package.json is installed. */
export function isInstalled(name: string): boolean {
  return existsSync(new URL(`node_modules/${name}/package.json`, import.meta.url))
}

/**
 * Imports an adapter of the package under measurement. A built adapter finds its framework among the packages of bench/, so that ours and
 * the framework's own store share one copy of the framework.
 */
export async function loadAdapter<Module>({ options }: Lab, name: string): Promise<Module> {
  const { url } = options.subject
  const link = new URL('adapters/node_modules', url)
  if (!existsSync(link)) symlinkSync(fileURLToPath(new URL('node_modules', import.meta.url)), link)
  return (await import(new URL(`adapters/${name}${extname(url)}`, url).href)) as Module // as the caller declares
}
