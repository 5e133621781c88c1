import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blobUri, findReferences, newBlobId, parseReference } from '../../src/blobs/reference.ts'
import { rounds } from '../setup/rounds.ts'

const id = newBlobId()

describe('ids', () => {
  test('are of one shape, safe in a url, and never the same', () => {
    const ids = Array.from({ length: 10_000 }, newBlobId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  })

  test('a reference is an id or its uri', () => {
    expect(blobUri(id)).toBe(`blob:${id}`)
    expect(parseReference(blobUri(id))).toBe(id)
    expect(parseReference(id)).toBe(id)
  })
})

describe('BLOB_REFERENCE_INVALID', () => {
  const refused = (reference: unknown) =>
    expect(() => parseReference(reference)).toThrow(expect.objectContaining({ code: 'BLOB_REFERENCE_INVALID' }))

  test.each([
    '',
    'blob:',
    ' ',
    '.',
    '..',
    '../../etc/passwd',
    'blob:../../etc/passwd',
    `blob:${id}/../x`,
    `blob:../${id}`,
    '/etc/passwd',
    'C:\\Windows\\win.ini',
    '\\\\server\\share',
    `file:${id}`,
    `file:///${id}`,
    `http://${id}`,
    `BLOB:${id}`,
    `blob://${id}`,
    `blob:blob:${id}`,
    `${id}\0`,
    `${id}\n`,
    `\n${id}`,
    ` ${id}`,
    `${id}.png`,
    `${id}%2e%2e`,
    id.toUpperCase(),
    id.slice(1),
    `${id}0`,
    `${id}${id}`,
    'g'.repeat(32),
    '０'.repeat(32),
    'blob:%2e%2e%2f',
    'con',
    '__proto__',
    undefined,
    null,
    0,
    42n,
    {},
    [],
    [id],
    Object(id),
    { id },
    { toString: () => id },
    Symbol('x'),
    Buffer.from(id),
  ])('%o', refused)

  test('a very long one, at once and without repeating it', () => {
    const started = performance.now()
    for (const long of ['blob:'.repeat(1e6), `blob:${'0'.repeat(1e7)}`, '../'.repeat(1e6)]) {
      refused(long)
      expect(() => parseReference(long)).toThrow(
        expect.objectContaining({ message: expect.stringMatching(/^.{1,200}$/) }),
      )
    }
    expect(performance.now() - started).toBeLessThan(1000)
  })

  test('whatever is thrown at it', () => {
    const pieces = fc.constantFrom(
      'blob:',
      '../',
      '/',
      '\\',
      '\0',
      '%2e',
      '..',
      ':',
      'file:',
      id,
      id.slice(8),
      '\u202e',
      '.',
    )
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join('')),
      fc.anything(),
    )
    fc.assert(
      fc.property(hostile, (reference) => {
        const right = typeof reference === 'string' && /^(blob:)?[0-9a-f]{32}$/.test(reference)
        if (right) expect(parseReference(reference)).toHaveLength(32)
        else refused(reference)
      }),
      { numRuns: rounds(10_000, 100_000) },
    )
  })
})

describe('mentions', () => {
  const other = newBlobId()

  test('are found in any string and key, however deep, and nowhere else', () => {
    const content = [
      { type: 'text', text: `see blob:${id}, and (blob:${other}).` },
      { type: 'image', url: { href: `blob:${id}` }, [`blob:${newBlobId()}`.slice(0, -1)]: 1 },
    ]
    expect(findReferences(content)).toEqual(new Set([id, other]))
    expect(findReferences({ [`blob:${id}`]: null })).toEqual(new Set([id]))
    expect(findReferences(`![picture](blob:${id})`)).toEqual(new Set([id]))
    expect(findReferences(`"blob:${id}" \\ blob:${other}"`)).toEqual(new Set([id, other]))
    expect(findReferences([id, other, { blob: id }])).toEqual(new Set())
    for (const nothing of [null, undefined, 0, '', [], {}, 'blob:', true])
      expect(findReferences(nothing)).toEqual(new Set())
  })

  test('in doubt it is one: next to other text, and after other text', () => {
    expect(findReferences(`xblob:${id}and`)).toEqual(new Set([id]))
    expect(findReferences(`blob:blob:${id}${other}`)).toEqual(new Set([id]))
  })

  test('in any JSON value, those that are put in come out', () => {
    const mention = fc.constantFrom(id, other, newBlobId(), newBlobId())
    fc.assert(
      fc.property(fc.jsonValue(), fc.array(fc.tuple(fc.string(), mention)), (value, mentions) => {
        const nested = mentions.reduce<unknown>(
          (inner, [text, id]) => ({ [text]: [inner, `${text}blob:${id}`] }),
          value,
        )
        expect(findReferences(nested)).toEqual(new Set(mentions.map(([, id]) => id)))
      }),
    )
  })

  test('takes time in proportion to the text', () => {
    const time = (text: string) => {
      const started = performance.now()
      expect(findReferences(text).size).toBeLessThan(2)
      return performance.now() - started
    }
    const hostile = [
      'blob:'.repeat(2e6),
      `blob:${'0'.repeat(31)}`.repeat(3e5),
      '0'.repeat(1e7),
      `blob:${id} `.repeat(2e5),
      `blob:${'0'.repeat(31)}g`.repeat(3e5),
    ]
    for (const text of hostile) expect(time(text)).toBeLessThan(1000)
  })

  test('a deeply nested value is no trouble', () => {
    let value: unknown = `blob:${id}`
    for (let depth = 0; depth < 1000; depth += 1) value = [value]
    expect(findReferences(value)).toEqual(new Set([id]))
  })
})
