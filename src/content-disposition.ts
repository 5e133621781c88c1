/**
 * Makes a `Content-Disposition` (RFC 6266) with a file name of any characters: once in ASCII, for old programs, and once
 * percent-encoded.
 */
export function contentDisposition(type: 'attachment' | 'inline', name: string | null): string {
  if (name === null || name === '') return type
  const ascii = name.replace(/[^\x20-\x7e]|["\\%/]/gu, '_')
  const encoded = encodeURIComponent(name.toWellFormed()).replace(/['()*]/g, percentEncode)
  return `${type}; filename="${ascii}"; filename*=UTF-8''${encoded}`
}

const percentEncode = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`
