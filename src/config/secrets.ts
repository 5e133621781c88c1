/**
 * A copy to show or to log: passwords, also those in urls, and private keys are `***`. A configuration as it is
 * written and a resolved one both work.
 */
export function maskSecrets<T>(config: T): T {
  return masked('', config) as T // what is masked stays a string
}

function masked(key: string, value: unknown): unknown {
  if (typeof value === 'string') return secretKeys.has(key) ? '***' : maskUrl(value)
  if (Array.isArray(value)) return value.map((item) => masked(key, item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, masked(name, inner)]))
}

const secretKeys = new Set(['password', 'passphrase', 'key'])

const maskUrl = (text: string) =>
  text.replace(/^(\w+:\/\/[^/?#@:]*:)[^/?#]*@/, '$1***@').replace(/([?&][^=&#]*(?:pass|key)[^=&#]*=)[^&#]*/gi, '$1***')
