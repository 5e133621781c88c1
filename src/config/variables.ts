import type { Problem } from '../errors.ts'
import { configError, dotPath, variablesMissing } from './validate.ts'

/** What the strings of a configuration file refer to. */
export interface Scope {
  env: Record<string, string | undefined>
  /** The directory of the file: the value of `${{dexto.agent_dir}}`. */
  agentDir: string
  /**
   * The paths at which the schema refuses text. A string with variables becomes a number or a boolean there, if it reads as
   * one.
   */
  refusesText?: ReadonlySet<string>
  /** The name of the file in errors. */
  source: string
}

/** The last alternatives are mistakes: a variable inside a default, and a brace that is not closed. */
const reference =
  /\$\$|\$\{\{\s*([^{}]*?)\s*\}\}|\$\{([^{}]*)\}|\$([A-Za-z_]\w*)|(\$\{\w*:-[^{}]*\$\{[^{}]*\}[^{}]*\})|\$\{/g
const NESTED = 'a default cannot contain a variable; set the variable, or write $$ for a literal dollar'

/**
 * Returns a copy of `input` with the references in its strings replaced: `$NAME`, `${NAME}`, `${NAME:-default}`,
 * `${{dexto.agent_dir}}`, and `$$` for a dollar. A default counts if the variable is not set or empty. The value of a
 * variable is not searched for references.
 *
 * @throws {CONFIG_ENV_MISSING} when a variable is not set; the error names every problem
 * @throws {CONFIG_INVALID} when a reference is malformed; the error names every problem
 */
export function interpolate(input: unknown, scope: Scope): unknown {
  const problems: Problem[] = []
  const missing = new Set<string>()

  /** Returns the value for `NAME` or `NAME:-default`. */
  function variable(content: string, problem: (message: string) => string): string {
    const { name, fallback } = /^(?<name>[A-Za-z_]\w*)(?::-(?<fallback>.*))?$/s.exec(content)?.groups ?? {}
    if (name === undefined) return problem(`expected \${NAME} or \${NAME:-default}; write $$ for a literal dollar`)
    const value = Object.hasOwn(scope.env, name) ? scope.env[name] : undefined
    if (fallback !== undefined) {
      if (fallback.replaceAll('$$', '').includes('$')) return problem(NESTED)
      return value || fallback.replaceAll('$$', () => '$')
    }
    if (value !== undefined) return value
    missing.add(name)
    return problem(`the environment variable ${name} is not set; set it, or write $$ for a literal dollar`)
  }

  function replace(text: string, path: string): unknown {
    const problem = (message: string) => {
      problems.push({ path, message })
      return ''
    }
    const result = text.replace(
      reference,
      (all, template?: string, braced?: string, bare?: string, nested?: string) => {
        if (all === '$$') return '$'
        if (template === 'dexto.agent_dir') return scope.agentDir
        if (template !== undefined) return problem(`unknown template \${{${template}}}; expected \${{dexto.agent_dir}}`)
        return nested === undefined ? variable(braced ?? bare ?? '', problem) : problem(NESTED)
      },
    )
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
