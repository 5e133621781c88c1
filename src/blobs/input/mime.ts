import * as z from 'zod/mini'

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

/** Types of bytes, which no text has. SVG is text, and so is what ends in +xml or +json. */
const BYTES =
  /^(?:image|audio|video|font)\/(?!.*\+(?:xml|json)$)|^application\/(?:pdf|zip|gzip|wasm|vnd\.openxml|msword$)/

/** Returns true if the text is `type/subtype`, with parameters or without, of at most 255 characters. */
export const isMimeType = (text: string) => text.length <= 255 && MIME_TYPE.test(text)

export const mimeTypeSchema = z.string().check(z.refine(isMimeType, 'must be "type/subtype" of at most 255 characters'))

/**
 * Guesses a MIME type: by the first bytes, else by the extension of the name, else `application/octet-stream`. Text with
 * the name of an image, or of another type that is never text, is `text/plain`. The guess does not mean that the bytes
 * are valid or safe.
 */
export async function guessMimeType(head: Uint8Array, name?: string): Promise<string> {
  // Loaded only by programs that store a blob without its type.
  const [{ default: mime }, { fileTypeFromBuffer }] = await Promise.all([import('mime'), import('file-type/core')])
  const named = mime.getType(name ?? '') ?? undefined
  const detected = (await fileTypeFromBuffer(head))?.mime
  if (detected && named && CONTAINERS[detected]?.test(named)) return named
  if (!detected && named && BYTES.test(named) && isText(head)) return 'text/plain'
  return detected ?? named ?? DEFAULT_TYPE
}

/** Returns true if the first bytes of a blob are text in UTF-8. */
function isText(head: Uint8Array): boolean {
  try {
    // A stream may end within a character: the head does.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: bytes that are no text have them
    return text !== '' && !/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)
  } catch {
    return false
  }
}
