import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')

/** Collects garbage: when V8 does so by itself differs from version to version. */
export const collectGarbage: (options?: { type: 'minor' }) => void = runInNewContext('gc')
