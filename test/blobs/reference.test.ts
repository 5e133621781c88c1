import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blobUri, findReferences, newBlobId, parseReference } from '../../src/blobs/reference.ts'
import { rounds } from '../setup/rounds.ts'

const id = newBlobId()

describe('newBlobId()', () => {
  it('returns 32 hexadecimal digits, never the same', () => {
    const ids = Array.from({ length: 10_000 }, newBlobId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  })
})

describe('parseReference()', () => {
  it('accepts an id and its URI', () => {
    expect(blobUri(id)).toBe(`blob:${id}`)
    expect(parseReference(blobUri(id))).toBe(id)
    expect(parseReference(id)).toBe(id)
  })

  const rejected = (reference: unknown) =>
    expect(() => parseReference(reference)).toThrow(expect.objectContaining({ code: 'BLOB_REFERENCE_INVALID' }))

  it.each([
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
  ])('rejects %o', rejected)

  it.each([
    ['prefixes', 'blob:'.repeat(1e6)],
    ['zeros', `blob:${'0'.repeat(1e7)}`],
    ['path segments', '../'.repeat(1e6)],
  ])('rejects megabytes of %s within a second, with a short message', (_, long) => {
    const started = performance.now()
    expect(() => parseReference(long)).toThrow(
      expect.objectContaining({ code: 'BLOB_REFERENCE_INVALID', message: expect.stringMatching(/^.{1,200}$/) }),
    )
    expect(performance.now() - started).toBeLessThan(1000)
  })

  it('rejects every generated value that is not a reference', () => {
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
        const valid = typeof reference === 'string' && /^(blob:)?[0-9a-f]{32}$/.test(reference)
        if (valid) expect(parseReference(reference)).toHaveLength(32)
        else rejected(reference)
      }),
      { numRuns: rounds(10_000, 100_000) },
    )
  })
})

describe('findReferences()', () => {
  const other = newBlobId()

  it('finds mentions in strings at any depth', () => {
    const content = [
      { type: 'text', text: `see blob:${id}, and (blob:${other}).` },
      { type: 'image', url: { href: `blob:${id}` }, [`blob:${newBlobId()}`.slice(0, -1)]: 1 },
    ]
    expect(findReferences(content)).toEqual(new Set([id, other]))
  })

  it.each([
    ['a key', { [`blob:${id}`]: null }, [id]],
    ['Markdown', `![picture](blob:${id})`, [id]],
    ['quotes and backslashes', `"blob:${id}" \\ blob:${other}"`, [id, other]],
    ['a word before and after', `xblob:${id}and`, [id]],
    ['a second prefix and further digits', `blob:blob:${id}${other}`, [id]],
  ])('finds a mention in %s', (_, value, ids) => {
    expect(findReferences(value)).toEqual(new Set(ids))
  })

  it.each([[id, other, { blob: id }], null, undefined, 0, '', [], {}, 'blob:', true])(
    'finds no mention in %o',
    (value) => {
      expect(findReferences(value)).toEqual(new Set())
    },
  )

  it('finds all mentions, and no others, in any JSON value', () => {
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

  it.each([
    ['prefixes', 'blob:'.repeat(2e6)],
    ['ids that are one digit short', `blob:${'0'.repeat(31)}`.repeat(3e5)],
    ['digits', '0'.repeat(1e7)],
    ['mentions of one blob', `blob:${id} `.repeat(2e5)],
    ['ids with a wrong last digit', `blob:${'0'.repeat(31)}g`.repeat(3e5)],
  ])('searches 10 MB of %s within a second', (_, text) => {
    const started = performance.now()
    expect(findReferences(text).size).toBeLessThan(2)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  it('finds a mention 1000 levels deep', () => {
    let value: unknown = `blob:${id}`
    for (let depth = 0; depth < 1000; depth += 1) value = [value]
    expect(findReferences(value)).toEqual(new Set([id]))
  })
})
