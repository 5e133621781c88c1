import { link, readdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isHash } from './backend.ts'
import { isDirectory, makeDirectory, syncDirectory, undefinedOn, unlinkIfExists } from './files.ts'

/**
 * Brings objects back that a process of the first version was about to remove when it was killed: it moved them to
 * `aside/`, and their contents may be needed. Safe to repeat, and to run in several processes at once.
 */
export async function bringBackAside(storePath: string): Promise<void> {
  const aside = join(storePath, 'aside')
  if (!(await isDirectory(aside))) return
  for (const name of await readdir(aside)) {
    const [hash = ''] = name.split('.')
    if (!isHash(hash)) continue
    const shard = join(storePath, 'objects', hash.slice(0, 2))
    await makeDirectory(shard)
    await link(join(aside, name), join(shard, hash)).catch(undefinedOn('EEXIST', 'ENOENT'))
    await syncDirectory(shard)
    await unlinkIfExists(join(aside, name))
  }
  await rmdir(aside).catch(undefinedOn('ENOENT', 'ENOTEMPTY'))
}
