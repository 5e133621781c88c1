import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { guessMimeType, isMimeType } from '../../src/blobs/input/mime.ts'
import { rounds } from '../setup/rounds.ts'

const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const zip = Buffer.from('504b0304140000000800', 'hex')
const ole = Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.alloc(600)])
const xml = Buffer.from('<?xml version="1.0"?><x/>')

it.each<[string, Buffer, string | undefined, string]>([
  ['the content', png, undefined, 'image/png'],
  ['the content before the name', png, 'photo.html', 'image/png'],
  ['the name if the content shows no type', Buffer.from('plain words'), 'notes.txt', 'text/plain'],
  ['a name in upper case with a path', Buffer.from('{}'), '/etc/../x/DATA.JSON', 'application/json'],
  [
    'text/plain if text has the name of an image',
    Buffer.from('<!doctype html><script>1</script>'),
    'x.png',
    'text/plain',
  ],
  ['text/plain if text is cut within a character', Buffer.from('<p>ü').subarray(0, 4), 'x.jpg', 'text/plain'],
  ['text/plain for TypeScript, not a video', Buffer.from('const x = 1\n'), 'main.ts', 'text/plain'],
  ['the name if text may have its type', Buffer.from('<svg></svg>'), 'x.svg', 'image/svg+xml'],
  ['the name if the content is no text', Buffer.from([0, 1, 2]), 'x.png', 'image/png'],
  ['the default if neither shows a type', Buffer.from('plain words'), undefined, 'application/octet-stream'],
  ['the default for an unknown extension', Buffer.from('x'), 'x.unheard-of', 'application/octet-stream'],
  ['the default for an empty blob', Buffer.alloc(0), '', 'application/octet-stream'],
  ['the name if XML may contain its type', xml, 'drawing.svg', 'image/svg+xml'],
  ['the content if XML cannot contain the type of the name', xml, 'drawing.png', 'application/xml'],
  ['the content of XML without a name', xml, undefined, 'application/xml'],
  [
    'the name if a zip file may contain its type',
    zip,
    'a.docx',
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  ],
  ['the content if a zip file cannot contain the type of the name', zip, 'a.txt', 'application/zip'],
  ['the name if an OLE file may contain its type', ole, 'a.doc', 'application/msword'],
])('guessMimeType() uses %s', async (_, head, name, expected) => {
  expect(await guessMimeType(head, name)).toBe(expected)
})

it('guessMimeType() returns a valid type for any bytes and name, within a second', async () => {
  const magic = fc.constantFrom(png, zip, ole, xml, ...signatures.map((hex) => Buffer.from(hex, 'hex')))
  const head = fc
    .tuple(magic, fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(4096))
    .map(([start, bytes, length]) => {
      return Buffer.concat([start, bytes, Buffer.alloc(4096, bytes)]).subarray(0, length)
    })
  await fc.assert(
    fc.asyncProperty(head, fc.string({ unit: 'binary', maxLength: 255 }), async (head, name) => {
      const started = process.cpuUsage() // other processes may stop this one for a while
      expect(isMimeType(await guessMimeType(head, name))).toBe(true)
      expect(process.cpuUsage(started).user).toBeLessThan(1_000_000)
    }),
    { numRuns: rounds(500, 20_000) },
  )
  expect(isMimeType(await guessMimeType(randomBytes(4096)))).toBe(true)
})

/** The first bytes of PDF, GIF, JPEG, MP4, Matroska, RIFF, Ogg, MP3, ASF, TIFF, gzip and tar files. */
const signatures = [
  '255044462d312e37',
  '474946383961',
  'ffd8ffe0',
  '0000001866747970',
  '1a45dfa3',
  '52494646ffffffff57415645',
  '4f67675300',
  '494433040000000000ff',
  '3026b2758e66cf11a6d9',
  '49492a0008000000',
  '1f8b08',
  '7573746172',
]

it.each([
  'a/b',
  'text/plain',
  'text/plain;charset=utf-8',
  'text/plain; charset="utf 8"',
  'image/svg+xml',
  `a/${'b'.repeat(253)}`,
])('isMimeType() returns true for %o', (text) => {
  expect(isMimeType(text)).toBe(true)
})

it.each([
  '',
  'a',
  '/',
  'a/',
  '/b',
  'a/b/c',
  'a b/c',
  'a/b;',
  'a/b;c',
  'a/b;c=',
  'a/b\n',
  'a/b\r\nx: y',
  'ä/b',
  'a/b\0',
  `a/${'b'.repeat(254)}`,
])('isMimeType() returns false for %o', (text) => {
  expect(isMimeType(text)).toBe(false)
})
