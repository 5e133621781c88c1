import { Readable } from 'node:stream'
import type { Storage } from '../index.ts'
import { BYTES_POLICY, SECURITY_HEADERS } from './headers.ts'
import { Refusal } from './responses.ts'

/** What the page shows. Everything else, SVG and HTML above all, is only a download. */
const SHOWN = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp'])

/** Returns the bytes of a blob as a stream. */
export async function blobResponse(
  { blobs }: Pick<Storage, 'blobs'>,
  id: string,
  signal: AbortSignal,
): Promise<Response> {
  const record = await blobs.get(id)
  if (record === undefined) throw new Refusal(404, 'BLOB_NOT_FOUND', 'This blob does not exist, or does not any more')
  const isShown = SHOWN.has(record.mimeType)
  const stream = await blobs.stream(record.id)
  signal.addEventListener('abort', () => stream.destroy(), { once: true })
  // The types of Node's streams and of the web's differ in name only.
  return new Response(Readable.toWeb(stream) as ReadableStream<Uint8Array>, {
    headers: {
      ...SECURITY_HEADERS,
      'content-security-policy': BYTES_POLICY,
      'content-type': isShown ? record.mimeType : 'application/octet-stream',
      'content-length': String(record.size),
      'content-disposition': `${isShown ? 'inline' : 'attachment'}; filename*=UTF-8''${encodedName(record.name ?? record.id)}`,
    },
  })
}

/** Returns a name as RFC 8187 has it, without anything that a file name may not hold. */
function encodedName(name: string): string {
  const plain = name
    .replace(/[\p{Cc}\p{Cf}/\\:*?"<>|]/gu, '_')
    .slice(0, 150)
    .toWellFormed()
  return encodeURIComponent(plain).replace(/['()*!]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
}
