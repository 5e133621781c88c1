import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { YAMLError } from 'yaml'
import * as z from 'zod/mini'
import { exportsOf } from '../import-driver.ts'
import { parseInput } from '../validation/input.ts'
import { withAbsolutePaths } from './resolve.ts'
import { RETENTION_FIELDS } from './schema.ts'
import { edits } from './suggestions.ts'
import { PARTS, unknownTags } from './tags.ts'
import type { ValidStorageConfig } from './valid.ts'
import { check, configError, validateConfig } from './validate.ts'
import { interpolate, type Scope } from './variables.ts'

/** Options of `loadStorageConfig()` and `openStorageFromFile()`. */
export interface LoadOptions {
  /** The environment variables that the file may refer to. Default: `process.env`. */
  env?: Record<string, string | undefined> | undefined
}

const optionsSchema = z.strictObject({
  env: z.optional(
    z.custom<LoadOptions['env']>((env) => typeof env === 'object' && env !== null, 'must be an object of texts'),
  ),
})

/**
 * Reads the `storage:` section of a YAML or JSON file, or a file that consists of the content of the section. A file
 * without either means in-memory everywhere. Replaces `$NAME`, `${NAME}` and `${{dexto.agent_dir}}`, fills in every
 * default and makes every path absolute. The result can be passed to `openStorage`. It contains the passwords.
 *
 * @throws {CONFIG_INVALID} when the file cannot be read or its section is not valid; the error names every problem
 * @throws {CONFIG_ENV_MISSING} when the section refers to environment variables that are not set
 * @throws {INVALID_INPUT} when the path or an option is not valid
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { loadStorageConfig } from 'holdfast'
 * writeFileSync('agent.yml', 'storage: { cache: { type: redis, port: $REDIS_PORT } }')
 * const { cache } = await loadStorageConfig('agent.yml', { env: { REDIS_PORT: '6380' } })
 * console.log(cache.type === 'redis' && cache.port) // 6380
 * ```
 */
export async function loadStorageConfig(path: string, options: LoadOptions = {}): Promise<ValidStorageConfig> {
  const file = resolve(parseInput(z.string(), path, 'path'))
  const { env = process.env } = parseInput(optionsSchema, options, 'options')
  const scope = { env, agentDir: dirname(file), source: file }
  return withAbsolutePaths(parseSection(sectionOf(await readYaml(file), file), scope), scope.agentDir)
}

/** Replaces the variables of a section and validates it. */
function parseSection(section: unknown, scope: Scope): ValidStorageConfig {
  const { config, problems } = check(interpolate(section, scope))
  if (config) return config
  // Variables are text. Only the schema knows which of them stand for a number or a boolean: it has refused their text.
  const refusesText = new Set(problems.map(({ path }) => path))
  return validateConfig(interpolate(section, { ...scope, refusesText }), scope.source)
}

const UNKNOWN_TAG = 'has a tag that has no meaning here: write $NAME for a variable, and a text without a tag'

async function readYaml(file: string): Promise<unknown> {
  const bytes = await readFile(file).catch((cause) => {
    const message = `cannot be read (${cause.code}); expected a YAML or JSON file`
    throw configError([{ path: 'file', message }], file)
  })
  const text = textOf(bytes, file)
  const yaml = exportsOf(await import('yaml'), 'parseDocument') // loaded only by programs that read a file
  const lineCounter = new yaml.LineCounter()
  const document = yaml.parseDocument(text, { lineCounter, prettyErrors: false, merge: true })
  const refuse = (found: readonly YAMLError[], messageOf: (code: string) => string) => {
    const problems = found.map(({ code, pos }) => {
      const { line, col } = lineCounter.linePos(pos[0])
      return { path: `line ${line}, column ${col}`, message: messageOf(code) }
    })
    if (problems.length > 0) throw configError(problems, file)
  }
  // The parser's message may quote the file, and so a secret. Its code does not.
  refuse(document.errors, (code) => `not YAML: ${code.toLowerCase().replaceAll('_', ' ')}`)

  refuse(unknownTags(yaml, document, text), () => UNKNOWN_TAG)
  try {
    // JSON refuses the circle that an alias within its own anchor makes.
    return JSON.parse(JSON.stringify(document.toJS()))
  } catch {
    const message = 'expected aliases to have an anchor, not to contain themselves, and to be few'
    throw configError([{ path: 'file', message }], file)
  }
}

/** Decodes a file. Another encoding would make other paths and passwords of those that were written. */
function textOf(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw configError([{ path: 'file', message: 'is not UTF-8; save it with this encoding' }], file)
  }
}

/** Returns the part of a file that configures the storage: `{ storage }`, or its content. */
function sectionOf(root: unknown, file: string): unknown {
  if (root === null || root === undefined) return {}
  if (typeof root !== 'object' || Array.isArray(root)) {
    throw configError([{ path: 'file', message: 'expected a mapping with the key "storage"' }], file)
  }
  if ('storage' in root) {
    checkBeside(root, root.storage, file)
    return { storage: root.storage }
  }
  if (Object.keys(root).some((key) => PARTS.includes(key))) return root
  checkBeside(root, {}, file)
  // Silently falling back to memory would lose the data.
  for (const [key, value] of Object.entries(root)) {
    const meant = meantBy(key, value)
    if (meant) throw configError([{ path: key, message: `unknown key; did you mean "${meant}"?` }], file)
  }
  return {}
}

/**
 * Refuses parts of the section that are outside of it: they would have no effect, and data would be lost, or kept too long.
 * What only has the name of a part is the file's own.
 */
function checkBeside(root: object, section: unknown, file: string): void {
  if (section === null) {
    const part = PARTS.find((key) => hasType(Reflect.get(root, key)))
    const message =
      'is beside "storage", and nothing is under "storage": indent it. For a storage in memory write "storage: {}"'
    if (part !== undefined) throw configError([{ path: part, message }], file)
  }
  const fields = Object.keys(Object(Reflect.get(root, 'retention')))
  const isOurs = fields.length > 0 && fields.every((field) => RETENTION_FIELDS.includes(field))
  if (isOurs && !Object.hasOwn(Object(section), 'retention')) {
    throw configError([{ path: 'retention', message: 'has no effect here: move it under "storage"' }], file)
  }
}

const hasType = (value: unknown) => typeof Reflect.get(Object(value), 'type') === 'string'

/** Returns the name that a key misspells. A file may have databases of its own: what configures ours has a type. */
function meantBy(key: string, value: unknown): string | undefined {
  const names = hasType(value) ? ['storage', 'database', 'blobStore'] : ['storage']
  return names.find((name) => edits(key.toLowerCase(), name.toLowerCase()) <= 1)
}
