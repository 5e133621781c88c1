import type { JsonObject } from '../../schema/values.ts'
import { blobUri, idOfUri } from '../reference.ts'
import { isPrefix, textOf } from './data.ts'
import { INLINE } from './offload.ts'
import { mapStrings } from './strings.ts'

/** How many blobs are read at once. */
const AT_ONCE = 8

interface Found {
  metadata: JsonObject
  bytes(): Promise<Buffer>
}

/** Returns the value with data in the place of each blob that it names and that data was, as `find` finds the blobs. */
export async function inlined<T>(value: T, find: (id: string) => Promise<Found | undefined>): Promise<T> {
  const named = new Set<string>()
  mapStrings(value, (text) => {
    const id = idOfUri(text)
    if (id !== undefined) named.add(id)
    return text
  })
  if (named.size === 0) return value
  const texts = new Map<string, string>()
  const read = async (id: string) => {
    const found = await find(id)
    const prefix = found?.metadata[INLINE]
    if (found && isPrefix(prefix)) texts.set(blobUri(id), textOf({ prefix, bytes: await found.bytes() }))
  }
  const ids = [...named]
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    await Promise.all(ids.slice(start, start + AT_ONCE).map(read))
  }
  return mapStrings(value, (text) => texts.get(text) ?? text)
}
