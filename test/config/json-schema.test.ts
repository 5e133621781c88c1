// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are templates of configuration files
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { configJsonSchema } from '../../src/config/index.ts'
import { yamlBlocks } from './blocks.ts'

const committed = JSON.parse(await readFile(new URL('../../storage.schema.json', import.meta.url), 'utf8'))
const accepts = new Ajv2020({ strict: true, allErrors: true }).compile(committed)

test('storage.schema.json equals configJsonSchema()', () => {
  expect(committed).toEqual(JSON.parse(JSON.stringify(configJsonSchema())))
})

const reference = await yamlBlocks(new URL('fixtures/storage-configuration.md', import.meta.url))
const docs = await yamlBlocks(new URL('../../docs/configuration.md', import.meta.url))

test.each([...reference, ...docs].map((block) => ({ block })))('storage.schema.json accepts block %$', ({ block }) => {
  accepts(parse(block))
  expect(accepts.errors).toBeNull()
})

test.each([
  { storage: { database: { type: 'sqlite' } }, llm: { model: 'other keys of an agent file are free' } },
  { storage: { cache: { type: 'redis', port: '$PORT', options: { tls: '${TLS}' } } } },
  { storage: { blob: { type: 'local', cleanupAfterDays: 'never' } } },
  { storage: { blob: { type: 's3', bucket: 'files', forcePathStyle: '$STYLE' } } },
  { storage: { blob: { type: 'local', cleanupAfterDays: '$DAYS' } } },
  { storage: null },
])('storage.schema.json accepts %j', (file) => {
  accepts(file)
  expect(accepts.errors).toBeNull()
})

test.each([
  { storage: { databse: { type: 'sqlite' } } },
  { storage: { cache: { type: 'redis', hots: 'h' } } },
  { storage: { cache: { type: 'redis', port: 'many' } } },
  { storage: { cache: { type: 'redis', options: { tls: { Ca: 'x' } } } } },
  { storage: { database: { type: 'mysql' } } },
  { storage: { blob: { type: 'local', maxBlobSize: 0 } } },
  { storage: { blob: { type: 's3' } } },
  { storage: { blob: { type: 's3', bucket: 'files', credentials: 'none in a file' } } },
  { storage: { blob: { type: 'local', cleanupAfterDays: 'sometimes' } } },
])('storage.schema.json rejects %j', (file) => {
  expect(accepts(file)).toBe(false)
})

test('storage.schema.json has a description for every field', () => {
  const undescribed: string[] = []
  const walk = (schema: Record<string, unknown>, path: string) => {
    for (const [name, field] of Object.entries(Object(schema.properties))) {
      if (name !== 'type' && Object(field).description === undefined) undescribed.push(`${path}.${name}`)
      walk(Object(field), `${path}.${name}`)
    }
    for (const key of ['oneOf', 'anyOf']) for (const option of Object(schema)[key] ?? []) walk(option, path)
  }
  walk(committed, '')
  expect(undescribed).toEqual([])
})

test('holdfast/config can be bundled for a browser without Node.js modules', async () => {
  const bundle = (file: string) =>
    build({
      entryPoints: [fileURLToPath(new URL(`../../src/config/${file}`, import.meta.url))],
      bundle: true,
      platform: 'browser',
      format: 'esm',
      write: false,
      metafile: true,
      logLevel: 'silent',
    })
  const inputs = Object.keys((await bundle('index.ts')).metafile.inputs)
  expect(inputs).toContain('src/config/schema.ts')
  expect(inputs.filter((path) => /node:|node_modules\/(?!zod\/)/.test(path))).toEqual([])
  // Proves that the bundler notices: it rejects a module that reads files.
  await expect(bundle('load.ts')).rejects.toThrow('node:fs')
})
