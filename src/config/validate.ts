import * as z from 'zod/mini'
import { toDotPath } from 'zod/v4/core'
import { type Problem, StorageError } from '../errors.ts'
import { english } from '../validation/english.ts'
import { parsedOnce } from './fields.ts'
import { rootSchema, storageSchema } from './schema.ts'
import { hintFor, nearest } from './suggestions.ts'
import type { ValidStorageConfig } from './valid.ts'

/** Returns a CONFIG_INVALID whose message has a line for each problem. */
export function configError(problems: readonly Problem[], source: string): StorageError<'CONFIG_INVALID'> {
  return new StorageError('CONFIG_INVALID', listing(problems, source), { details: { problems } })
}

/** Returns a CONFIG_ENV_MISSING whose message has a line for each problem. */
export function variablesMissing(
  problems: readonly Problem[],
  source: string,
  variables: readonly string[],
): StorageError<'CONFIG_ENV_MISSING'> {
  return new StorageError('CONFIG_ENV_MISSING', listing(problems, source), { details: { problems, variables } })
}

function listing(problems: readonly Problem[], source: string): string {
  return [`${source} is not valid:`, ...problems.map(({ path, message }) => `  ${path}: ${message}`)].join('\n')
}

/**
 * Validates a configuration, `{ storage: { ... } }` or the content of `storage`, and fills in every default. Paths stay
 * as they are given. `source` names the configuration in the error's message.
 *
 * @throws {CONFIG_INVALID} when the configuration is not valid; the error names every problem
 *
 * @example
 * ```ts
 * import { validateConfig } from 'holdfast/config'
 * const { database } = validateConfig({ database: { type: 'sqlite', path: 'agent.db' } })
 * console.log(database.options) // { synchronous: 'full', readonly: false, busyTimeoutMillis: 5000 }
 * ```
 */
export function validateConfig(input: unknown, source = 'The storage configuration'): ValidStorageConfig {
  const result = check(input)
  if (result.problems) throw configError(result.problems, source)
  return result.config
}

const fileSchema = z.pipe(
  rootSchema,
  z.transform(({ storage }) => storage ?? storageSchema.parse({}, parsedOnce)),
)

type Checked = { config: ValidStorageConfig; problems?: undefined } | { config?: undefined; problems: Problem[] }

/** Returns what {@link validateConfig} returns, or the problems. */
export function check(input: unknown): Checked {
  const content = input ?? {}
  const wrapped = typeof content === 'object' && 'storage' in content
  const result = (wrapped ? fileSchema : storageSchema).safeParse(content, { error: explain, ...parsedOnce })
  return result.success
    ? { config: result.data }
    : { problems: result.error.issues.flatMap((issue) => describe(issue)) }
}

/** Writes a path as text, such as `cache.options.cluster[0].port`. */
export const dotPath = (path: PropertyKey[]) => toDotPath(path) || 'storage'

function describe(issue: z.core.$ZodIssue, parent: PropertyKey[] = []): Problem[] {
  const path = [...parent, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    const lines = issue.message.split('\n')
    return issue.keys.map((key, i) => ({ path: dotPath([...path, key]), message: lines[i] ?? 'unknown key' }))
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // Only the alternative that has the type of the value knows what is wrong inside the value.
    const meant = issue.errors.find((issues) => !issues.some(isWrongType))
    if (meant) return meant.flatMap((inner) => describe(inner, path))
    const expected = issue.errors.map(([first]) => first?.message.replace(/^.*expected (.*?)(, received.*)?$/, '$1'))
    return [{ path: dotPath(path), message: `expected ${expected.join(' or ')}` }]
  }
  return [{ path: dotPath(path), message: issue.message.replace(/^Invalid (input|option): /, '') }]
}

const isWrongType = (issue: z.core.$ZodIssue) =>
  issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value')

/** Returns a message that names the remedy, or zod's own message if that does. */
function explain(issue: z.core.$ZodRawIssue): ReturnType<typeof english.error> {
  if (Array.isArray(issue.keys) && issue.inst instanceof z.ZodMiniObject) {
    const known = knownKeys(issue.inst)
    // One line for each key: `describe` splits them.
    return issue.keys.map((key) => unknownKey(String(key), known)).join('\n')
  }
  if (Array.isArray(issue.options)) {
    const options = issue.options.map(String)
    const given = Reflect.get(Object(issue.input), 'type')
    const hint = typeof given === 'string' ? hintFor(given, options) : ''
    return `expected one of ${options.map((option) => `"${option}"`).join(', ')}${hint}`
  }
  if (issue.inst instanceof z.ZodMiniDiscriminatedUnion && typeof issue.input === 'string') {
    return 'expected an object, such as { type: in-memory }'
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) return `is missing; expected ${issue.expected}`
  return english.error(issue)
}

/** Returns the keys of a section, and the keys of its options, which are easily put one level too high. */
function knownKeys({ shape }: z.ZodMiniObject): string[] {
  const options = shape.options instanceof z.ZodMiniPrefault ? shape.options.def.innerType : undefined
  const inner = options instanceof z.ZodMiniObject ? Object.keys(options.shape) : []
  return [...Object.keys(shape), ...inner.map((key) => `options.${key}`)]
}

const unknownKey = (key: string, known: string[]) =>
  known.length === 0
    ? 'unknown key; none is known here'
    : `unknown key, the nearest known one is "${nearest(key, known)}"; known are ${known.join(', ')}`
