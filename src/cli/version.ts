import { readFileSync } from 'node:fs'

/** The version of the package. Both src/cli/ and dist/cli/ are two folders below package.json. */
export const version: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
