import { invalidInput } from '../../validation/input.ts'
import { isMimeType } from './mime.ts'

/**
 * Decodes base64 of RFC 4648: the standard alphabet, padded, without white space.
 *
 * @throws {INVALID_INPUT} when the text is anything else. `field` is the field of the input that the error names.
 */
export function decodeBase64(text: string, field: 'base64' | 'dataUri'): Buffer {
  const bytes = Buffer.from(text, 'base64')
  // Buffer.from skips invalid characters, so compare the text with what the decoded bytes encode to.
  if (bytes.toString('base64') !== text) {
    const message = 'is malformed base64: expected A-Z a-z 0-9 + / with = padding, without white space'
    throw invalidInput([{ path: `input.${field}`, message }])
  }
  return bytes
}

/**
 * Parses `data:[<type>][;base64],<data>` of RFC 2397. The default type is `text/plain;charset=US-ASCII`.
 *
 * @throws {INVALID_INPUT} when the URI is malformed, or has a character that must be percent-encoded.
 */
export function parseDataUri(uri: string): { bytes: Buffer; mimeType: string } {
  const comma = uri.indexOf(',')
  if (!/^data:/i.test(uri) || comma < 0) throw malformed(['expected data:[<type>][;base64],<data>'])
  const data = uri.slice(comma + 1)
  const head = uri.slice('data:'.length, comma)
  const base64 = /;base64$/i.test(head)
  const type = base64 ? head.slice(0, -';base64'.length) : head
  const mimeType = type === '' ? 'text/plain;charset=US-ASCII' : type.startsWith(';') ? `text/plain${type}` : type
  const problems: string[] = []
  if (!isMimeType(mimeType)) {
    problems.push('its type must be "type/subtype", with parameters "name=value" (";charset=utf-8", not ";utf8")')
  }
  const invalid = data.search(/[^\w.~!$&'()*+,;=:@/?%-]|%(?![0-9a-f]{2})/i)
  if (invalid >= 0) {
    problems.push(`the character at index ${comma + 1 + invalid} must be percent-encoded (encodeURIComponent)`)
  }
  if (problems.length > 0) throw malformed(problems)
  const raw = data.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return { bytes: base64 ? decodeBase64(raw, 'dataUri') : Buffer.from(raw, 'latin1'), mimeType }
}

const malformed = (rules: string[]) =>
  invalidInput([{ path: 'input.dataUri', message: `is malformed: ${rules.join('; ')}` }])

/**
 * Returns bytes as a base64 data URI. Drops the type's parameters if a data URI cannot hold them unquoted, or would end at
 * the `#` in one of them.
 */
export function toDataUri(bytes: Buffer, mimeType: string): string {
  const type = /["#]/.test(mimeType) ? mimeType.replace(/;.*/s, '') : mimeType.replaceAll('; ', ';')
  return `data:${type};base64,${bytes.toString('base64')}`
}
