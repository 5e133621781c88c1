import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import * as z from 'zod'
import { parseInput } from '../validation/input.ts'
import { withAbsolutePaths } from './resolve.ts'
import type { ValidStorageConfig } from './schema.ts'
import { check, configError, edits, validateConfig } from './validate.ts'
import { interpolate } from './variables.ts'

export interface LoadOptions {
  /** Where `$NAME` comes from. Default: `process.env`. */
  env?: Record<string, string | undefined> | undefined
}

const optionsSchema = z.strictObject({
  env: z
    .custom<LoadOptions['env']>((env) => typeof env === 'object' && env !== null, 'must be an object of texts')
    .optional(),
})

/**
 * Reads the `storage:` section of a YAML or JSON file and ignores the rest of it, or takes a file that is the content
 * of the section. A file with neither means in-memory everywhere. `$NAME`, `${NAME}` and `${{dexto.agent_dir}}` are
 * replaced, every default is filled in, paths are absolute: pass the result to `openStorage`. It holds the secrets.
 *
 * @throws StorageError `INVALID_INPUT` (the call itself), `CONFIG_INVALID` (a file that cannot be read or is not valid; every problem at once),
 * `CONFIG_ENV_MISSING` (variables that are not set)
 */
export async function loadStorageConfig(path: string, options: LoadOptions = {}): Promise<ValidStorageConfig> {
  const file = resolve(parseInput(z.string(), path, 'path'))
  const { env = process.env } = parseInput(optionsSchema, options, 'options')
  const section = sectionOf(await readYaml(file), file)
  const scope = { env, agentDir: dirname(file), source: file }
  // Variables are text: only the schema knows which of them mean a number or a boolean.
  const { problems = [] } = check(interpolate(section, scope))
  const refusesText = new Set(problems.map((problem) => problem.path))
  return withAbsolutePaths(validateConfig(interpolate(section, { ...scope, refusesText }), file), scope.agentDir)
}

async function readYaml(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause) => {
    const message = `cannot be read (${cause.code}); expected a YAML or JSON file`
    throw configError([{ path: 'file', message }], file)
  })
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, merge: true })
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ code, pos }) => {
      const { line, col } = lineCounter.linePos(pos[0])
      // The message of the parser may quote the text, and so a secret; its code does not.
      return { path: `line ${line}, column ${col}`, message: `not YAML: ${code.toLowerCase().replaceAll('_', ' ')}` }
    })
    throw configError(problems, file)
  }
  try {
    // Through JSON: an alias within its own anchor makes a circle, which it refuses.
    return JSON.parse(JSON.stringify(document.toJS()))
  } catch {
    const message = 'expected aliases to have an anchor, not to contain themselves, and to be few'
    throw configError([{ path: 'file', message }], file)
  }
}

/** What of a file is for us: `{ storage }` or its content. */
function sectionOf(root: unknown, file: string): unknown {
  if (root === null || root === undefined) return {}
  if (typeof root !== 'object' || Array.isArray(root)) {
    throw configError([{ path: 'file', message: 'expected a mapping with the key "storage"' }], file)
  }
  if ('storage' in root) return { storage: root.storage }
  const keys = Object.keys(root)
  if (keys.some((key) => ['cache', 'database', 'blobStore', 'blob'].includes(key))) return root
  const misspelt = keys.find((key) => edits(key.toLowerCase(), 'storage') <= 1)
  // Silently falling back to memory would lose the data.
  if (misspelt) throw configError([{ path: misspelt, message: 'unknown key; did you mean "storage"?' }], file)
  return {}
}
