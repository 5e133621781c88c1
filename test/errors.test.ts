import { describe, expect, test } from 'vitest'
import { isStorageError, StorageError } from '../src/errors.ts'

const copy: typeof import('../src/errors.ts') = await import('../src/errors.ts?copy' as string) // another instance of the module
const own = new StorageError('CLOSED', 'The storage has been closed')
const foreign = new copy.StorageError('CLOSED', 'The storage has been closed')

describe('isStorageError()', () => {
  test('returns true for an error, and for an error of the given code', () => {
    expect(isStorageError(own)).toBe(true)
    expect(isStorageError(own, 'CLOSED')).toBe(true)
    expect(isStorageError(own, 'TIMEOUT')).toBe(false)
  })

  test('returns true for an error of another copy of the package', () => {
    expect(Object.getPrototypeOf(foreign)).not.toBe(StorageError.prototype)
    expect(isStorageError(foreign, 'CLOSED')).toBe(true)
    expect(copy.isStorageError(own, 'CLOSED')).toBe(true)
  })

  test.each([undefined, null, 'CLOSED', { code: 'CLOSED', name: 'StorageError' }, new Error('CLOSED')])(
    'returns false for %s',
    (value) => {
      expect(isStorageError(value)).toBe(false)
    },
  )
})

describe('instanceof StorageError', () => {
  test('is true for an error of another copy of the package', () => {
    expect(foreign instanceof StorageError).toBe(true)
    expect(own instanceof copy.StorageError).toBe(true)
    expect(new Error('CLOSED') instanceof StorageError).toBe(false)
  })

  test('is true for a subclass only if the subclass made the error', () => {
    class OwnError extends StorageError<'CLOSED'> {}
    expect(own instanceof OwnError).toBe(false)
    expect(new OwnError('CLOSED', 'closed') instanceof OwnError).toBe(true)
    expect(new OwnError('CLOSED', 'closed') instanceof StorageError).toBe(true)
  })
})

test('StorageError has its code and details as properties, and no visible mark', () => {
  const error = new StorageError('BLOB_TOO_LARGE', 'too large', { details: { maxBytes: 5 }, cause: own })
  expect(error).toMatchObject({ name: 'StorageError', retryable: false, cause: own })
  expect({ ...error }).toEqual({
    name: 'StorageError',
    code: 'BLOB_TOO_LARGE',
    details: { maxBytes: 5 },
    retryable: false,
  })
  expect(Object.getOwnPropertySymbols(error)).toEqual([])
  expect(own.details).toEqual({})
})
