import type { Problem } from '../errors.ts'
import { configError, dotPath, variablesMissing } from './validate.ts'

/** What the strings of a configuration file may refer to. */
export interface Scope {
  env: Record<string, string | undefined>
  /** The directory of the file, for `${{dexto.agent_dir}}`. */
  agentDir: string
  /** Paths where the schema refuses text: a variable there is read as a number or a boolean if it looks like one. */
  refusesText?: ReadonlySet<string>
  /** Named in errors. */
  source: string
}

const reference = /\$\$|\$\{\{\s*([^{}]*?)\s*\}\}|\$\{([^{}]*)\}|\$([A-Za-z_]\w*)|\$\{/g

/**
 * A copy of `input` in which every string has its references replaced: `$NAME`, `${NAME}`, `${{dexto.agent_dir}}`, and
 * `$$` for a dollar. What a variable holds is not looked at again.
 *
 * @throws StorageError `CONFIG_ENV_MISSING` or, if variables are not the problem, `CONFIG_INVALID`; with all problems
 */
export function interpolate(input: unknown, scope: Scope): unknown {
  const problems: Problem[] = []
  const missing = new Set<string>()

  function replace(text: string, path: string): unknown {
    const problem = (message: string) => {
      problems.push({ path, message })
      return ''
    }
    const result = text.replace(reference, (all, template?: string, braced?: string, bare?: string) => {
      if (all === '$$') return '$'
      if (template === 'dexto.agent_dir') return scope.agentDir
      if (template !== undefined) return problem(`unknown template \${{${template}}}; expected \${{dexto.agent_dir}}`)
      const name = braced ?? bare ?? ''
      if (!/^[A-Za-z_]\w*$/.test(name)) return problem(`expected \${NAME}; write $$ for a literal dollar`)
      if (Object.hasOwn(scope.env, name) && scope.env[name] !== undefined) return scope.env[name]
      missing.add(name)
      return problem(`the environment variable ${name} is not set; set it, or write $$ for a literal dollar`)
    })
    return text !== result && scope.refusesText?.has(path) ? scalar(result) : result
  }

  function visit(value: unknown, path: PropertyKey[]): unknown {
    if (typeof value === 'string') return replace(value, dotPath(path))
    if (Array.isArray(value)) return value.map((item, i) => visit(item, [...path, i]))
    if (!(value instanceof Object)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]))
  }

  const result = visit(input, [])
  if (problems.length === 0) return result
  if (missing.size > 0) throw variablesMissing(problems, scope.source, [...missing])
  throw configError(problems, scope.source)
}

const scalar = (text: string): unknown => (/^(?:0|[1-9]\d*|true|false)$/.test(text) ? JSON.parse(text) : text)
