/** Lua that reads a key: `held` is its entry, and `marks` are the marks of other writers in it that have not expired. */
const LIVING_MARKS = `
        local held = redis.call('GET', key)
        local isMarked = held and string.sub(held, 1, 1) == 'M'
        local marks = ''
        if isMarked then
          for writer, due in string.gmatch(held, '([^M,:]+):(%d+),') do
            if writer ~= ARGV[1] and tonumber(due) > now() then marks = marks .. writer .. ':' .. due .. ',' end
          end
        end`

const NOW = `
      local clock
      local function now()
        if not clock then
          local time = redis.call('TIME')
          clock = time[1] * 1000 + math.floor(time[2] / 1000)
        end
        return clock
      end`

/**
 * Atomic steps, as Lua scripts. From Redis 7 on, SET NX GET could replace `claim`; the script runs on every version.
 */
export const SCRIPTS = {
  announce: {
    lua: `${NOW}
      local mine = string.format('%s:%.0f,', ARGV[1], now() + tonumber(ARGV[2]))
      for _, key in ipairs(KEYS) do${LIVING_MARKS}
        redis.call('SET', key, 'M' .. marks .. mine, 'PX', ARGV[2])
      end`,
  },
  withdraw: {
    lua: `${NOW}
      local removed = 0
      for i, key in ipairs(KEYS) do${LIVING_MARKS}
        if isMarked and ARGV[i + 1] == '1' then
          -- It stays.
        elseif marks ~= '' then
          redis.call('SET', key, 'M' .. marks, 'KEEPTTL')
        elseif held then
          redis.call('UNLINK', key)
          if not isMarked then removed = removed + 1 end
        end
      end
      return removed`,
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

/** The scripts for a cluster, where ioredis takes the first argument for the key that leads to the node. */
export const SCRIPTS_OF_ONE_KEY = Object.fromEntries(
  Object.entries(SCRIPTS).map(([name, { lua }]) => [name, { numberOfKeys: 1, lua }]),
)

type Arguments = readonly (string | number)[]

/** Before the keys of the first two comes their number, except in a cluster. */
export interface Scripts {
  /** Puts the mark of a writer in the place of each entry, beside the marks of other writers. */
  announce(...keysThenWriterThenMillis: Arguments): Promise<null>
  /**
   * Removes each entry, or the mark of the writer. After the writer comes a flag for each key: 1 if its mark stays. Returns
   * the number of entries removed.
   */
  withdraw(...keysThenWriterThenFlags: Arguments): Promise<number>
  claim(key: string, lease: string, ttlMillis: number): Promise<string>
  fill(key: string, lease: string, entry: string, ttlMillis: number): Promise<number>
}
