import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf } from '../caught.ts'
import { type Finding, fail, ok, warn } from './findings.ts'

const MEBIBYTE = 1024 * 1024

/** Below these many free bytes writes will soon fail. */
const FAIL_BYTES = 64 * MEBIBYTE
const WARN_BYTES = 512 * MEBIBYTE

/** Says how much space is left on the file system that holds a file or directory. */
export async function diskSpace(check: string, path: string): Promise<Finding> {
  const found = await statfs(path)
    .catch(() => statfs(dirname(path)))
    .catch(codeOf)
  if (typeof found !== 'object') return fail(check, `${path} cannot be reached (${found}): is its disk mounted?`)
  const { bavail, bsize } = found
  const free = bavail * bsize
  const message = `${Math.floor(free / MEBIBYTE).toLocaleString('en-US')} MiB are free for ${path}`
  if (free < FAIL_BYTES) return fail(check, `${message}: make room, or writes will fail`)
  if (free < WARN_BYTES) return warn(check, `${message}: make room soon`)
  return ok(check, message)
}
