import mime from 'mime'
import * as z from 'zod'

const TOKEN = "[\\w!#$&'*+.^`|~-]+"
const PARAMETER = `; ?${TOKEN}=(?:${TOKEN}|"[ !#-[\\]-~]*")`
const MIME_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:${PARAMETER})*$`)

const UNKNOWN = 'application/octet-stream'

/** What holds something else that the first bytes do not tell: a name that fits knows better. */
const CONTAINERS: Record<string, RegExp> = {
  'application/xml': /\+xml$/,
  'application/zip': /^application\//,
  'application/x-cfb': /^application\//,
}

/** Whether it is `type/subtype`, with parameters or without, of at most 255 characters. */
export const isMimeType = (text: string) => text.length <= 255 && MIME_TYPE.test(text)

/** A MIME type that somebody gives. */
export const mimeTypeSchema = z.string().refine(isMimeType, 'must be "type/subtype" of at most 255 characters')

/**
 * The type that the first bytes show, else the one that the name's extension means, else `application/octet-stream`.
 * A guess: it says nothing about whether the rest of the bytes is sound or safe.
 */
export async function guessMimeType(head: Uint8Array, name?: string): Promise<string> {
  const named = mime.getType(name ?? '') ?? undefined
  const { fileTypeFromBuffer } = await import('file-type/core') // loaded by the first blob, not by every program
  const shown = (await fileTypeFromBuffer(head))?.mime
  if (shown && named && CONTAINERS[shown]?.test(named)) return named
  return shown ?? named ?? UNKNOWN
}
