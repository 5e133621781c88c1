import { createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { parseDataUri } from '../../src/blobs/input/data-uri.ts'
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

/** What an input yields, and what it says of itself. */
async function taken(input: unknown) {
  const { source, ...said } = await blobSource(input)
  return { data: await collect(source), ...said }
}

describe('each kind of input gives its bytes', () => {
  const size = data.length
  const inputs: Record<string, { input: () => BlobInput | Promise<BlobInput>; said?: object }> = {
    Buffer: { input: () => data, said: { size } },
    'a part of a larger Uint8Array': {
      input: () => new Uint8Array([...Buffer.from('xx'), ...data, 0]).subarray(2, 2 + size),
      said: { size },
    },
    ArrayBuffer: { input: () => new Uint8Array(data).buffer, said: { size } },
    'a Node stream': { input: () => createReadStream(path) },
    'a Node stream in object mode': { input: () => Readable.from([data.subarray(0, 3), data.subarray(3)]) },
    'a web stream': { input: () => new Blob([data]).stream() },
    'an async generator': { input: () => source(data.subarray(0, 5), Buffer.alloc(0), data.subarray(5)) },
    Blob: { input: () => new Blob([data]), said: { size } },
    'Blob with a type': { input: () => new Blob([data], { type: 'text/html' }), said: { size, mimeType: 'text/html' } },
    'Blob with a type that is none': { input: () => new Blob([data], { type: 'words' }), said: { size } },
    File: {
      input: () => new File([data], 'a.html', { type: 'text/html' }),
      said: { size, name: 'a.html', mimeType: 'text/html' },
    },
    base64: { input: () => ({ base64: data.toString('base64') }), said: { size } },
    'data URI, base64': {
      input: () => ({ dataUri: `data:image/png;base64,${data.toString('base64')}` }),
      said: { size, mimeType: 'image/png' },
    },
    'data URI, percent-encoded': {
      input: () => ({ dataUri: `data:text/plain;charset=utf-8,${encodeURIComponent(text)}` }),
      said: { size, mimeType: 'text/plain;charset=utf-8' },
    },
    path: { input: () => ({ path }), said: { size, name: 'notes.txt' } },
  }

  for (const [kind, { input, said = {} }] of Object.entries(inputs)) {
    test(kind, async () => {
      expect(await taken(await input())).toEqual({ data, ...said })
    })
  }

  test('nothing is a blob, too', async () => {
    for (const input of [new Uint8Array(), new ArrayBuffer(0), new Blob([]), Readable.from([]), { base64: '' }]) {
      expect((await taken(input)).data).toHaveLength(0)
    }
    expect((await taken({ dataUri: 'data:,' })).data).toHaveLength(0)
    const empty = new ReadableStream({ start: (controller) => controller.close() })
    expect((await taken(empty)).data).toHaveLength(0)
  })

  test('a stream may have been read in part', async () => {
    const stream = Readable.from([Buffer.from('head'), Buffer.from('body')], { objectMode: true })
    await new Promise((resolve) => stream.once('readable', resolve))
    expect(stream.read()).toEqual(Buffer.from('head'))
    expect((await taken(stream)).data.toString()).toBe('body')
  })
})

describe('INVALID_INPUT', () => {
  const invalid = (path: string) => ({ code: 'INVALID_INPUT', details: { problems: [{ path }] } })
  const refused = (input: unknown, path = 'input') => expect(blobSource(input)).rejects.toMatchObject(invalid(path))

  test('a bare string, with the wrappers that exist', async () => {
    // @ts-expect-error a bare string is no BlobInput
    const input: BlobInput = path
    const refusal = blobSource(input)
    for (const wrapper of ['Buffer.from', '{ base64 }', '{ dataUri }', '{ path }']) {
      await expect(refusal).rejects.toThrow(wrapper)
    }
    await expect(refusal).rejects.not.toThrow(path)
    await refused('')
    await refused('data:,x')
    await refused(Object('boxed'))
  })

  test.each([
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
  ])('%o', (input) => refused(input))

  test.each([
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
  ])('base64 %o', (base64) => refused({ base64 }, 'input.base64'))

  test.each([
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
  ])('data URI %o', (dataUri) => refused({ dataUri }, 'input.dataUri'))

  test('paths that are no files, without saying which', async () => {
    mkdirSync(join(directory, 'sub'))
    for (const path of ['', directory, join(directory, 'sub'), join(directory, 'secret-name'), 'x\0y']) {
      await refused({ path }, 'input.path')
      await expect(blobSource({ path })).rejects.not.toThrow('secret-name')
    }
  })

  test('streams that have been read or destroyed', async () => {
    const read = Readable.from([data])
    await collect(read)
    await refused(read)
    const web = new Blob([data]).stream()
    await collect(web)
    await refused(web)
    const destroyed = createReadStream(path).destroy()
    await expect(taken(destroyed)).rejects.toMatchObject(invalid('input'))
    const locked = new Blob([data]).stream()
    locked.getReader()
    await expect(taken(locked)).rejects.toMatchObject(invalid('input'))
  })

  test.each([['text'], [1], [null], [{}], [[1, 2]], [new Uint16Array(2)]])('a source that yields %o', async (chunk) => {
    let stopped = false
    async function* yields() {
      try {
        yield data
        yield chunk
      } finally {
        stopped = true
      }
    }
    await expect(taken(yields())).rejects.toMatchObject(invalid('input'))
    expect(stopped).toBe(true)
  })

  test('a stream that decodes itself to text', async () => {
    await expect(taken(createReadStream(path, 'utf8'))).rejects.toThrow('not string')
  })

  test('a source that fails, with its error as the cause', async () => {
    const failure = new Error('lost')
    const stream = new PassThrough()
    stream.write(data)
    setImmediate(() => stream.destroy(failure))
    await expect(taken(stream)).rejects.toMatchObject({ ...invalid('input'), cause: failure })
    const web = new ReadableStream({ start: (controller) => controller.error(failure) })
    await expect(taken(web)).rejects.toMatchObject({ ...invalid('input'), cause: failure })
  })
})

describe('data URIs', () => {
  test('without a type they are plain text', () => {
    expect(parseDataUri('data:,hi')).toEqual({ bytes: Buffer.from('hi'), mimeType: 'text/plain;charset=US-ASCII' })
    expect(parseDataUri('DATA:;charset=utf-8;BASE64,aGk=')).toEqual({
      bytes: Buffer.from('hi'),
      mimeType: 'text/plain;charset=utf-8',
    })
    expect(parseDataUri('data:image/svg+xml;base64,aGk%3d').bytes.toString()).toBe('hi')
    expect(parseDataUri('data:text/plain,a,b').bytes.toString()).toBe('a,b')
  })

  test('whatever bytes go in come out, in either form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const raw = Buffer.from(bytes)
        const percent = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
        expect(parseDataUri(`data:a/b;base64,${raw.toString('base64')}`).bytes).toEqual(raw)
        expect(parseDataUri(`data:a/b,${percent}`).bytes).toEqual(raw)
      }),
    )
  })

  test('a hostile one is refused in no time', () => {
    const started = performance.now()
    for (const uri of [`data:${';a=b'.repeat(1e6)}`, `data:,${'%'.repeat(5e6)}`, `data:;base64,${'A'.repeat(5e6)}!`]) {
      expect(() => parseDataUri(uri)).toThrow('malformed')
    }
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
