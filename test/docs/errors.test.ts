import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { StorageErrorCode, StorageErrorDetails } from '../../src/errors.ts'

/** True for a field that is always there, false for an optional one. No fields for a record without properties. */
type Fields<Details> = string extends keyof Details
  ? Record<never, never>
  : { [K in keyof Details]-?: Record<never, never> extends Pick<Details, K> ? false : true }

const database = {
  sqliteCode: false,
  postgresCode: false,
  constraint: false,
  table: false,
  address: false,
  file: false,
} as const
const file = { errno: false, step: false, file: false } as const
const object = {
  bucket: false,
  step: false,
  httpStatus: false,
  s3Code: false,
  requestId: false,
  errno: false,
} as const

// The details exist only at compile time: the compiler compares this list with them.
const details: { [Code in StorageErrorCode]: Fields<StorageErrorDetails[Code]> } = {
  CONFIG_INVALID: { problems: true },
  CONFIG_ENV_MISSING: { problems: true, variables: true },
  DRIVER_MISSING: { package: true, supported: false },
  CONNECTION_FAILED: {
    ...database,
    ...file,
    ...object,
    encoding: false,
    parameter: false,
    server: false,
    database: false,
  },
  CONNECTION_LOST: { address: false },
  TIMEOUT: { ...database, ...object },
  ABORTED: { added: false, known: false },
  CACHE_UNAVAILABLE: {},
  EMBEDDING_FAILED: {},
  CLOSED: { added: false, known: false },
  MIGRATION_PENDING: { pending: true },
  MIGRATION_FAILED: {},
  SCHEMA_TOO_NEW: { applied: true, known: true },
  SCHEMA_DIVERGED: { migration: false },
  ALREADY_EXISTS: { id: false, key: false, path: false, ...database },
  NOT_FOUND: { id: true, sessionId: false },
  VERSION_CONFLICT: { expected: true, actual: true, id: false, key: false },
  INVALID_INPUT: { problems: true },
  INVALID_STATE: { executionId: false, status: false, hash: false, ...database },
  TRANSACTION_MISUSE: database,
  DATABASE_FAILED: { ...database, ...file, ...object },
  DATABASE_MOVED: { file: true },
  READ_ONLY: { ...database, ...file },
  PRIVILEGE_MISSING: { object: false, privileges: false, ...database, ...object },
  DISK_FULL: { ...database, ...file, ...object },
  ARCHIVE_DAMAGED: { file: true },
  BLOB_TOO_LARGE: { maxBytes: true },
  BLOB_QUOTA_EXCEEDED: { size: true, maxTotalSize: true },
  BLOB_NOT_FOUND: { uri: false, hash: false },
  BLOB_IN_USE: { id: true },
  BLOB_CORRUPTED: { hash: true },
  BLOB_REFERENCE_INVALID: {},
  BLOB_STORE_MISMATCH: { storePath: true },
}

const [meanings = [], documented = []] = readFileSync('docs/errors.md', 'utf8').split('\n## Details\n').map(rowsIn)

function rowsIn(page: string) {
  const rows = page.split('\n').filter((line) => /^\| [A-Z_]+ \|/.test(line))
  return rows.map((line) => line.split('|').map((cell) => cell.trim()))
}

test('docs/errors.md has every code, in the order of the type, and no other', () => {
  expect(meanings.map(([, code]) => code)).toEqual(Object.keys(details))
})

test('docs/errors.md says what each code means and what to do', () => {
  for (const [, code, meaning, remedy] of meanings) {
    expect(meaning, code).toMatch(/^[A-Z`].{20,}\.$/)
    expect(remedy, code).toMatch(/^[A-Z`].{10,}\.$/)
  }
})

test('docs/errors.md lists the details of each code, with the optional ones in brackets', () => {
  const listed = documented.map(([, code, fields = '']) => {
    const names = [...fields.matchAll(/(\[)?`([a-z]\w*)`/gi)].map(([, bracket, name]) => [name, bracket === undefined])
    return [code, Object.fromEntries(names.filter(([name]) => !['maxBlobSize', 'ifVersion'].includes(String(name))))]
  })
  const expected = Object.entries(details).filter(([, fields]) => Object.keys(fields).length > 0)
  expect(listed).toEqual(expected)
})
