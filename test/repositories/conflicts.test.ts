import { StorageError, type StorageErrorDetails } from 'holdfast'
import { expect, test } from 'vitest'
import { isWriteConflict } from '../../src/repositories/sessions/removal.ts'

test.each<[isConflict: boolean, details: StorageErrorDetails['DATABASE_FAILED']]>([
  [true, { sqliteCode: 'SQLITE_CONSTRAINT_NOTNULL' }],
  [true, { postgresCode: '23502' }],
  [true, {}], // of our own
  [false, { sqliteCode: 'SQLITE_IOERR_WRITE' }],
  [false, { postgresCode: '53200' }],
])('isWriteConflict() is %s for DATABASE_FAILED with %j', (isConflict, details) => {
  expect(isWriteConflict(new StorageError('DATABASE_FAILED', 'failed', { details }))).toBe(isConflict)
})

test('isWriteConflict() is true for a taken id, and false for a lost connection', () => {
  expect(isWriteConflict(new StorageError('ALREADY_EXISTS', 'taken'))).toBe(true)
  expect(isWriteConflict(new StorageError('CONNECTION_LOST', 'lost'))).toBe(false)
  expect(isWriteConflict(new Error('another'))).toBe(false)
})
