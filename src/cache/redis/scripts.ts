/**
 * Atomic steps, as Lua scripts. From Redis 7 on, SET NX GET could replace `claim`; the script runs on every version.
 */
export const SCRIPTS = {
  claim: {
    numberOfKeys: 1,
    lua: `
      local held = redis.call('GET', KEYS[1])
      if held then return held end
      redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
      return ARGV[1]`,
  },
  fill: {
    numberOfKeys: 1,
    lua: `
      if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
      redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
      return 1`,
  },
}

export interface Scripts {
  claim(key: string, lease: string, ttlMillis: number): Promise<string>
  fill(key: string, lease: string, entry: string, ttlMillis: number): Promise<number>
}
