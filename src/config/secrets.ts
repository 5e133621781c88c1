/**
 * A copy to show or to log: passwords, also those in urls, and private keys are `***`. A configuration as it is
 * written and a resolved one both work.
 */
export function maskSecrets<T>(config: T): T {
  const mask = (key: string, value: unknown) => {
    if (typeof value !== 'string') return value
    return secretKeys.has(key) ? '***' : maskUrl(value)
  }
  return JSON.parse(JSON.stringify(config, mask))
}

const secretKeys = new Set(['password', 'passphrase', 'key'])

const maskUrl = (text: string) =>
  text.replace(/^(\w+:\/\/[^/?#@:]*:)[^/?#]*@/, '$1***@').replace(/([?&][^=&#]*(?:pass|key)[^=&#]*=)[^&#]*/gi, '$1***')
