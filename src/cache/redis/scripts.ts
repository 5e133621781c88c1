/** Lua that sets `marks` to the marks of other writers on the key that have not expired. */
const LIVING_MARKS = `
      local time = redis.call('TIME')
      local now = time[1] * 1000 + math.floor(time[2] / 1000)
      local held = redis.call('GET', KEYS[1])
      local isMarked = held and string.sub(held, 1, 1) == 'M'
      local marks = ''
      if isMarked then
        for writer, due in string.gmatch(held, '([^M,:]+):(%d+),') do
          if writer ~= ARGV[1] and tonumber(due) > now then marks = marks .. writer .. ':' .. due .. ',' end
        end
      end`

/**
 * Atomic steps, as Lua scripts. From Redis 7 on, SET NX GET could replace `claim`; the script runs on every version.
 */
export const SCRIPTS = {
  announce: {
    numberOfKeys: 1,
    lua: `${LIVING_MARKS}
      local due = string.format('%.0f', now + tonumber(ARGV[2]))
      redis.call('SET', KEYS[1], 'M' .. marks .. ARGV[1] .. ':' .. due .. ',', 'PX', ARGV[2])
      return 1`,
  },
  withdraw: {
    numberOfKeys: 1,
    lua: `${LIVING_MARKS}
      if not held then return 0 end
      if isMarked and ARGV[2] == '1' then return 0 end
      if marks == '' then
        redis.call('UNLINK', KEYS[1])
        return isMarked and 0 or 1
      end
      redis.call('SET', KEYS[1], 'M' .. marks, 'KEEPTTL')
      return 0`,
  },
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
  /** Puts the mark of a writer in the place of the entry, beside the marks of other writers. */
  announce(key: string, writer: string, ttlMillis: number): Promise<number>
  /** Removes the entry, or the mark of the writer. With `keep` the mark stays. Returns 1 if there was an entry. */
  withdraw(key: string, writer: string, keep: 0 | 1): Promise<number>
  claim(key: string, lease: string, ttlMillis: number): Promise<string>
  fill(key: string, lease: string, entry: string, ttlMillis: number): Promise<number>
}
