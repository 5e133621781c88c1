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
  return masked('', config) as T // a masked string is a string
}

function masked(key: string, value: unknown): unknown {
  if (typeof value === 'string') return secretKeys.has(key) ? '***' : maskUrl(value)
  if (Array.isArray(value)) return value.map((item) => masked(key, item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, masked(name, inner)]))
}

const secretKeys = new Set(['password', 'passphrase', 'key', 'secretAccessKey', 'sessionToken'])

const maskUrl = (text: string) =>
  text.replace(/^(\w+:\/\/[^/?#@:]*:)[^/?#]*@/, '$1***@').replace(/([?&][^=&#]*(?:pass|key)[^=&#]*=)[^&#]*/gi, '$1***')
