/** The bytes that a string stands for. */
export interface Data {
  readonly bytes: Buffer
  /** What stands before the bytes: `data:image/png;base64,` and the like, or nothing before bare base64. */
  readonly prefix: string
}

const PREFIX = /^data:([^,]{0,255}),/i
const BASE64 = /;base64,$/i

/**
 * Returns the data of a string if it has more than `aboveBytes` bytes and `textOf` returns the very same string for it, else
 * undefined. Bare base64 is recognised only if `mayBeBare`: a long word could be base64 as well.
 */
export function dataOf(
  text: string,
  { aboveBytes, mayBeBare }: { aboveBytes: number; mayBeBare: boolean },
): Data | undefined {
  if (text.length <= aboveBytes) return undefined // no form of bytes is shorter than the bytes
  const [prefix = ''] = PREFIX.exec(text) ?? []
  if (prefix === '' && !mayBeBare) return undefined
  const bytes = decoded(text.slice(prefix.length), prefix)
  if (bytes === undefined || bytes.length <= aboveBytes) return undefined
  return textOf({ bytes, prefix }) === text ? { bytes, prefix } : undefined
}

function decoded(text: string, prefix: string): Buffer | undefined {
  if (isBase64(prefix)) return Buffer.from(text, 'base64')
  try {
    return Buffer.from(decodeURIComponent(text), 'utf8')
  } catch {
    return undefined // no UTF-8
  }
}

/** Returns the string that data was, of which a part of a message consists. */
export function textOf({ bytes, prefix }: Data): string {
  return prefix + (isBase64(prefix) ? bytes.toString('base64') : encodeURIComponent(bytes.toString('utf8')))
}

/** Returns true if a text can stand before the bytes. */
export function isPrefix(prefix: unknown): prefix is string {
  return prefix === '' || (typeof prefix === 'string' && PREFIX.exec(prefix)?.[0] === prefix)
}

/** Returns the type that a prefix names, or an empty text. */
export function typeIn(prefix: string): string {
  return (PREFIX.exec(prefix)?.[1] ?? '').replace(/;base64$/i, '')
}

const isBase64 = (prefix: string) => prefix === '' || BASE64.test(prefix)
