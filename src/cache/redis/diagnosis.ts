import { type Finding, fail, ok, warn } from '../../diagnosis/findings.ts'

/** Checks the memory of a server by its INFO. A full server that evicts nothing refuses every write. */
export function diagnoseMemory(name: string, info: string): Finding {
  const field = (key: string) => new RegExp(`^${key}:(.+?)\\s*$`, 'm').exec(info)?.[1] ?? ''
  const most = Number(field('maxmemory'))
  const used = Number(field('used_memory'))
  const policy = field('maxmemory_policy')
  if (most === 0) return ok('cache-memory', `${name} has no limit of memory`)
  const share = Math.floor((used / most) * 100)
  const message = `${name} uses ${share}% of its memory, with the policy ${policy}`
  if (policy !== 'noeviction') return ok('cache-memory', message)
  const advice = 'set maxmemory-policy to allkeys-lru, since entries of a cache may go'
  return share >= 99
    ? fail('cache-memory', `${message}: it is full; ${advice}`)
    : warn('cache-memory', `${message}: ${advice}`)
}
