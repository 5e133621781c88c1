import type { Storage } from '../index.ts'
import { Refusal } from './responses.ts'

/** The most that the body of a request may hold, in bytes. */
const MAX_BODY_BYTES = 65_536

/** Answers an approval, as the body of a request says. */
export async function answerApproval(storage: Storage, request: Request): Promise<unknown> {
  const type = request.headers.get('content-type') ?? ''
  // A form of another site cannot send this type, and a script of another site must ask before.
  if (!/^application\/json *(;|$)/i.test(type)) {
    throw new Refusal(415, 'INVALID_INPUT', 'The body must be JSON, and say so: content-type: application/json')
  }
  const body = parsed(await bodyOf(request))
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Refusal(
      400,
      'INVALID_INPUT',
      'The body must be an object with id, decision and, if wanted, data and owner',
    )
  }
  const { id, decision, data, owner = '', ...others } = body as Record<string, unknown> // parsed JSON that is an object
  const areTexts = typeof id === 'string' && typeof decision === 'string' && typeof owner === 'string'
  if (!areTexts || Object.keys(others).length > 0) {
    throw new Refusal(
      400,
      'INVALID_INPUT',
      'The body must have id, decision and, if wanted, data and owner, and nothing else',
    )
  }
  const { approvals } = owner === '' ? storage : storage.scope({ ownerId: owner })
  return approvals.respond({ id, decision, data })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Refusal(400, 'INVALID_INPUT', 'The body must be JSON')
  }
}

/** Reads a body, and stops if it is too large, whatever its length says. */
async function bodyOf(request: Request): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const reader = request.body?.getReader()
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) {
    bytes += next.value.byteLength
    if (bytes > MAX_BODY_BYTES) {
      await reader?.cancel()
      throw new Refusal(413, 'TOO_LARGE', `The body may have ${MAX_BODY_BYTES} bytes`)
    }
    chunks.push(next.value)
  }
  return Buffer.concat(chunks).toString('utf8')
}
