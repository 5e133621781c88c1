import { expect, test } from 'vitest'
import { fileError as ofArchive } from '../src/archive/directory.ts'
import { fileError as ofBlobs } from '../src/blobs/bytes/errors.ts'
import { fileError as ofBackup } from '../src/database/sqlite/backup.ts'

const failed = (errno: string) => Object.assign(new Error(`${errno}: failed, open '/data/x'`), { code: errno })

/** What reports the errors of its files, by its name in the messages. */
const reporters: Record<string, (error: Error) => unknown> = {
  'the archive': (error) => ofArchive(error, '/data/x'),
  'the backup': (error) => ofBackup(error, '/data/x'),
  'the blob store': (error) => ofBlobs(error, 'commit.rename'),
}

test.each([
  ['ENOSPC', 'DISK_FULL', 'The disk of NAME is full'],
  ['EDQUOT', 'DISK_FULL', 'The disk quota for NAME is used up'],
  ['EROFS', 'READ_ONLY', 'The file system of NAME is read-only'],
  ['EACCES', 'CONNECTION_FAILED', 'No permission to use NAME: check the owner and the mode of its directory'],
  ['EPERM', 'CONNECTION_FAILED', 'No permission to use NAME: check the owner and the mode of its directory'],
  ['EIO', 'DATABASE_FAILED', ''],
])('%s is %s, whoever wrote the file', (errno, code, message) => {
  for (const [name, report] of Object.entries(reporters)) {
    const cause = failed(errno)
    const details = expect.objectContaining({ errno })
    const text = expect.stringContaining(message.replace('NAME', name))
    expect(report(cause), name).toMatchObject({ name: 'StorageError', code, details, cause, message: text })
  }
})
