import mime from 'mime'
import * as z from 'zod'

const TOKEN = "[\\w!#$&'*+.^`|~-]+"
const PARAMETER = `; ?${TOKEN}=(?:${TOKEN}|"[ !#-[\\]-~]*")`
const MIME_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:${PARAMETER})*$`)

const DEFAULT_TYPE = 'application/octet-stream'

/** Container formats, with the types that they may contain. The first bytes show only the container: the name decides. */
const CONTAINERS: Record<string, RegExp> = {
  'application/xml': /\+xml$/,
  'application/zip': /^application\//,
  'application/x-cfb': /^application\//,
}

/** Returns true if the text is `type/subtype`, with parameters or without, of at most 255 characters. */
export const isMimeType = (text: string) => text.length <= 255 && MIME_TYPE.test(text)

export const mimeTypeSchema = z.string().refine(isMimeType, 'must be "type/subtype" of at most 255 characters')

/**
 * Guesses a MIME type: by the first bytes, else by the extension of the name, else `application/octet-stream`. The guess
 * does not mean that the bytes are valid or safe.
 */
export async function guessMimeType(head: Uint8Array, name?: string): Promise<string> {
  const named = mime.getType(name ?? '') ?? undefined
  const { fileTypeFromBuffer } = await import('file-type/core') // loaded only by programs that store a blob
  const detected = (await fileTypeFromBuffer(head))?.mime
  if (detected && named && CONTAINERS[detected]?.test(named)) return named
  return detected ?? named ?? DEFAULT_TYPE
}
