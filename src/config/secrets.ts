/**
 * Returns a copy of a configuration that is safe to show or to log: passwords (those in urls included), passphrases and
 * private and secret keys become `***`. Accepts a configuration as it was written, and a resolved one.
 *
 * @example
 * ```ts
 * import { maskSecrets } from 'holdfast/config'
 * console.log(maskSecrets({ url: 'postgres://ada:secret@db/agents' })) // { url: 'postgres://ada:***@db/agents' }
 * ```
 */
export function maskSecrets<T>(config: T): T {
  return masked('', config) as T // a masked string is a string, and no configuration is valid whose secret is a number
}

function masked(key: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => masked(key, item))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, masked(name, inner)]))
  }
  if (secretKeys.has(key) && value !== undefined && value !== null) return '***' // YAML reads 0815 as a number
  return typeof value === 'string' ? maskUrl(value) : value
}

const secretKeys = new Set(['password', 'passphrase', 'key', 'secretAccessKey', 'sessionToken'])

// A password that was not percent-encoded may have the characters that end a host.
const maskUrl = (text: string) =>
  text
    .replace(/^(\w+:\/\/[^/?#@:]*:)(?:[^/?#]*|.*)@/s, '$1***@')
    .replace(/([?&][^=&#]*(?:pass|key)[^=&#]*=)[^&#]*/gi, '$1***')
