import { invalidInput } from '../../validation/input.ts'
import { isMimeType } from './mime.ts'

/** RFC 4648 with the standard alphabet and padding and nothing else, such as line breaks; else INVALID_INPUT of `input.<of>`. */
export function decodeBase64(text: string, of: 'base64' | 'dataUri'): Buffer {
  const bytes = Buffer.from(text, 'base64')
  // Buffer skips what it does not know; only what comes out again was all there is
  if (bytes.toString('base64') !== text) {
    const message = 'is malformed base64: A-Z a-z 0-9 + / with = padding, without white space'
    throw invalidInput([{ path: `input.${of}`, message }])
  }
  return bytes
}

/**
 * `data:[<type>][;base64],<data>` as in RFC 2397; without a type it is `text/plain;charset=US-ASCII`. What a URI may
 * not hold must be percent-encoded, else INVALID_INPUT.
 */
export function parseDataUri(uri: string): { bytes: Buffer; mimeType: string } {
  const comma = uri.indexOf(',')
  const data = uri.slice(comma + 1)
  if (!/^data:/i.test(uri) || comma < 0 || /[^\w.~!$&'()*+,;=:@/?%-]|%(?![0-9a-f]{2})/i.test(data)) {
    throw malformed('data:[<type>][;base64],<percent-encoded data>')
  }
  const head = uri.slice('data:'.length, comma)
  const base64 = /;base64$/i.test(head)
  const type = base64 ? head.slice(0, -';base64'.length) : head
  const mimeType = type === '' ? 'text/plain;charset=US-ASCII' : type.startsWith(';') ? `text/plain${type}` : type
  if (!isMimeType(mimeType)) {
    throw malformed('its type is "type/subtype" with parameters or without')
  }
  const raw = data.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return { bytes: base64 ? decodeBase64(raw, 'dataUri') : Buffer.from(raw, 'latin1'), mimeType }
}

const malformed = (rule: string) => invalidInput([{ path: 'input.dataUri', message: `is malformed: ${rule}` }])

/** The same the other way round. A type whose parameters a URI cannot hold as they are goes without them. */
export function toDataUri(bytes: Buffer, mimeType: string): string {
  const type = mimeType.includes('"') ? mimeType.replace(/;.*/s, '') : mimeType.replaceAll('; ', ';')
  return `data:${type};base64,${bytes.toString('base64')}`
}
