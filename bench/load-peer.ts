/** Imports a package of bench/package.json. Returns undefined if `npm install --prefix bench` was not run. */
export async function loadPeer<Module>(name: string): Promise<Module | undefined> {
  try {
    return (await import(name)) as Module // the part of it that the caller declares
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
