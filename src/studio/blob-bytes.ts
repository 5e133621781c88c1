import { Readable } from 'node:stream'
import { contentDisposition } from '../content-disposition.ts'
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
      'content-disposition': contentDisposition(isShown ? 'inline' : 'attachment', fileName(record.name ?? record.id)),
    },
  })
}

/** Returns a name without anything that a file name may not hold. */
function fileName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}/\\:*?"<>|]/gu, '_').slice(0, 150)
}
