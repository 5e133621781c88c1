import { createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseDataUri, toDataUri } from '../../src/blobs/input/data-uri.ts'
import { type BlobInput, blobSource } from '../../src/blobs/input/source.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { collect, source } from './fixture.ts'

const text = 'Ünïcödé and \0 bytes'
const data = Buffer.from(text)
let directory: string
let path: string

beforeAll(() => {
  directory = temporaryDirectory('inputs')
  path = join(directory, 'notes.txt')
  writeFileSync(path, data)
})

/** Returns the bytes of an input, and what the input says about them. */
async function readInput(input: unknown) {
  const { source, destroy: _, ...described } = await blobSource(input)
  return { data: await collect(source), ...described }
}

describe('blobSource()', () => {
  const size = data.length
  const inputs: Record<string, { input: () => BlobInput | Promise<BlobInput>; described?: object }> = {
    Buffer: { input: () => data, described: { size } },
    'a view of a part of an ArrayBuffer': {
      input: () => new Uint8Array([...Buffer.from('xx'), ...data, 0]).subarray(2, 2 + size),
      described: { size },
    },
    ArrayBuffer: { input: () => new Uint8Array(data).buffer, described: { size } },
    'a Node stream': { input: () => createReadStream(path) },
    'a Node stream in object mode': { input: () => Readable.from([data.subarray(0, 3), data.subarray(3)]) },
    'a web stream': { input: () => new Blob([data]).stream() },
    'an async generator': { input: () => source(data.subarray(0, 5), Buffer.alloc(0), data.subarray(5)) },
    Blob: { input: () => new Blob([data]), described: { size } },
    'Blob with a type': {
      input: () => new Blob([data], { type: 'text/html' }),
      described: { size, mimeType: 'text/html' },
    },
    'Blob with an invalid type': { input: () => new Blob([data], { type: 'words' }), described: { size } },
    File: {
      input: () => new File([data], 'a.html', { type: 'text/html' }),
      described: { size, name: 'a.html', mimeType: 'text/html' },
    },
    base64: { input: () => ({ base64: data.toString('base64') }), described: { size } },
    'data URI, base64': {
      input: () => ({ dataUri: `data:image/png;base64,${data.toString('base64')}` }),
      described: { size, mimeType: 'image/png' },
    },
    'data URI, percent-encoded': {
      input: () => ({ dataUri: `data:text/plain;charset=utf-8,${encodeURIComponent(text)}` }),
      described: { size, mimeType: 'text/plain;charset=utf-8' },
    },
    path: { input: () => ({ path }), described: { size, name: 'notes.txt' } },
  }

  for (const [kind, { input, described = {} }] of Object.entries(inputs)) {
    it(`returns the bytes of ${kind}`, async () => {
      expect(await readInput(await input())).toEqual({ data, ...described })
    })
  }

  it.each([
    ['Uint8Array', new Uint8Array()],
    ['ArrayBuffer', new ArrayBuffer(0)],
    ['Blob', new Blob([])],
    ['Node stream', Readable.from([])],
    ['web stream', new ReadableStream({ start: (controller) => controller.close() })],
    ['base64', { base64: '' }],
    ['data URI', { dataUri: 'data:,' }],
  ])('accepts an empty %s', async (_, input) => {
    expect((await readInput(input)).data).toHaveLength(0)
  })

  it('returns the rest of a stream when a part of it was read before', async () => {
    const stream = Readable.from([Buffer.from('head'), Buffer.from('body')], { objectMode: true })
    await new Promise((resolve) => stream.once('readable', resolve))
    expect(stream.read()).toEqual(Buffer.from('head'))
    expect((await readInput(stream)).data.toString()).toBe('body')
  })
})

describe('blobSource() rejects with INVALID_INPUT', () => {
  const invalid = (path: string) => ({ code: 'INVALID_INPUT', details: { problems: [{ path }] } })
  const rejected = (input: unknown, path = 'input') => expect(blobSource(input)).rejects.toMatchObject(invalid(path))

  it('a bare string, and names the accepted forms', async () => {
    // @ts-expect-error a bare string is no BlobInput
    const input: BlobInput = path
    const refusal = blobSource(input)
    for (const wrapper of ['Buffer.from', '{ base64 }', '{ dataUri }', '{ path }']) {
      await expect(refusal).rejects.toThrow(wrapper)
    }
    await expect(refusal).rejects.not.toThrow(path)
  })

  it.each([
    '',
    'data:,x',
    Object('boxed'),
    undefined,
    null,
    0,
    true,
    Symbol('x'),
    () => data,
    {},
    [],
    [1, 2],
    ['a'],
    { base64: 1 },
    { base64: data },
    { path: '/x', base64: '' },
    { text: 'x' },
    { type: 'Buffer', data: [1] },
    new Float64Array(2),
    new DataView(new ArrayBuffer(2)),
    new SharedArrayBuffer(2),
    new Map(),
    Promise.resolve(data),
    [data],
  ])('%o', (input) => rejected(input))

  it.each([
    ['Uint8Array', (bytes: Uint8Array) => bytes],
    ['ArrayBuffer', (_: Uint8Array, buffer: ArrayBuffer) => buffer],
    ['chunk of a generator', (bytes: Uint8Array) => source(bytes)],
  ])('a %s whose buffer was transferred', async (_, inputOf) => {
    const bytes = new Uint8Array(10)
    const input = inputOf(bytes, bytes.buffer)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    await expect(readInput(input)).rejects.toMatchObject(invalid('input'))
  })

  it('a Uint8Array whose buffer is transferred while the put waits', async () => {
    const bytes = new Uint8Array(10)
    const { source } = await blobSource(bytes)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    await expect(collect(source)).rejects.toMatchObject(invalid('input'))
  })

  it.each([
    'a',
    'ab',
    'abc',
    'ab=',
    'ab===',
    'a===',
    '=',
    'ab==cd==',
    'aGk=\n',
    ' aGk=',
    'aG k',
    'aGl',
    'ab_-',
    'aR==',
    'äöüß',
    '%41',
  ])('the malformed base64 %o', (base64) => rejected({ base64 }, 'input.base64'))

  it.each([
    '',
    'data:',
    'data:text/plain',
    'xdata:,x',
    'http://a/,x',
    'file:///etc/passwd,',
    'data:text,x',
    'data:/plain,x',
    'data:text/plain;charset,x',
    'data:text/plain;base64;x=y,aGk=',
    'data:text/plain\n,x',
    'data:,%',
    'data:,%4',
    'data:,%4g',
    'data:,a b',
    'data:,ä',
    'data:,<svg>',
    'data:,x#y',
    'data:;base64,aGk',
    'data:;base64,aG k=',
    'data:;base64,aGk=%',
    `data:${'x'.repeat(300)}/y,`,
  ])('the malformed data URI %o', (dataUri) => rejected({ dataUri }, 'input.dataUri'))

  it.each([
    ['is empty', () => ''],
    ['is the directory of the test', () => directory],
    ['is a subdirectory', () => join(directory, 'sub')],
    ['does not exist', () => join(directory, 'secret-name')],
    ['contains NUL', () => 'x\0y'],
  ])('a path that %s, without naming the path', async (_, pathOf) => {
    mkdirSync(join(directory, 'sub'), { recursive: true })
    await rejected({ path: pathOf() }, 'input.path')
    await expect(blobSource({ path: pathOf() })).rejects.not.toThrow('secret-name')
  })

  it.each([
    ['a Node stream', () => Readable.from([data])],
    ['a web stream', () => new Blob([data]).stream()],
  ])('%s that was read to its end', async (_, open) => {
    const stream = open()
    await collect(stream)
    await rejected(stream)
  })

  it('a Node stream that was destroyed', async () => {
    const destroyed = createReadStream(path).destroy()
    await expect(readInput(destroyed)).rejects.toMatchObject(invalid('input'))
  })

  it('a web stream that is locked', async () => {
    const locked = new Blob([data]).stream()
    locked.getReader()
    await expect(readInput(locked)).rejects.toMatchObject(invalid('input'))
  })

  it.each([['text'], [1], [null], [{}], [[1, 2]], [new Uint16Array(2)]])('a source that yields %o', async (chunk) => {
    let stopped = false
    async function* yields() {
      try {
        yield data
        yield chunk
      } finally {
        stopped = true
      }
    }
    await expect(readInput(yields())).rejects.toMatchObject(invalid('input'))
    expect(stopped).toBe(true)
  })

  it('a stream with an encoding, which yields text', async () => {
    await expect(readInput(createReadStream(path, 'utf8'))).rejects.toThrow('not string')
  })

  const failure = new Error('lost')
  it.each([
    [
      'a Node stream',
      () => {
        const stream = new PassThrough()
        stream.write(data)
        setImmediate(() => stream.destroy(failure))
        return stream
      },
    ],
    ['a web stream', () => new ReadableStream({ start: (controller) => controller.error(failure) })],
  ])('%s that fails, with its error as the cause', async (_, open) => {
    await expect(readInput(open())).rejects.toMatchObject({ ...invalid('input'), cause: failure })
  })
})

describe('parseDataUri()', () => {
  it.each([
    ['data:,hi', 'hi', 'text/plain;charset=US-ASCII'],
    ['DATA:;charset=utf-8;BASE64,aGk=', 'hi', 'text/plain;charset=utf-8'],
    ['data:image/svg+xml;base64,aGk%3d', 'hi', 'image/svg+xml'],
    ['data:text/plain,a,b', 'a,b', 'text/plain'],
  ])('parses %s', (uri, text, mimeType) => {
    expect(parseDataUri(uri)).toEqual({ bytes: Buffer.from(text), mimeType })
  })

  it.each([
    ['http://a/,x', ['expected data:']],
    ['data:image/svg+xml;utf8,<svg', ['";charset=utf-8", not ";utf8"', 'the character at index 24']],
    ['data:image/svg+xml,<svg', ['the character at index 19 must be percent-encoded']],
    ['data:text,x', ['its type must be']],
  ])('says which rule %s breaks', (uri, rules) => {
    for (const rule of rules) expect(() => parseDataUri(uri)).toThrow(rule)
  })

  it('returns the bytes of any URI, base64 or percent-encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const raw = Buffer.from(bytes)
        const percent = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
        expect(parseDataUri(`data:a/b;base64,${raw.toString('base64')}`).bytes).toEqual(raw)
        expect(parseDataUri(`data:a/b,${percent}`).bytes).toEqual(raw)
      }),
    )
  })

  it.each([
    ['parameters', `data:${';a=b'.repeat(1e6)}`],
    ['percent signs', `data:,${'%'.repeat(5e6)}`],
    ['base64', `data:;base64,${'A'.repeat(5e6)}!`],
  ])('rejects megabytes of malformed %s within 2 seconds', (_, uri) => {
    const started = performance.now()
    expect(() => parseDataUri(uri)).toThrow('malformed')
    expect(performance.now() - started).toBeLessThan(2000)
  })
})

describe('toDataUri()', () => {
  it.each([
    ['text/plain; charset=utf-8', 'text/plain;charset=utf-8'],
    ['text/plain; charset=utf-8; name="a b"', 'text/plain'],
    ['text/x-csharp; name=main.c#', 'text/x-csharp'],
  ])('returns a URI that other programs read, for %s', async (mimeType, type) => {
    const uri = toDataUri(data, mimeType)
    expect(parseDataUri(uri)).toEqual({ bytes: data, mimeType: type })
    const answer = await fetch(uri)
    expect(answer.headers.get('content-type')).toBe(type)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(data)
  })
})
