import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** Returns a new token of 256 random bits, in 43 characters that a url may hold. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Returns a check of `authorization: Bearer <token>`. Its time does not depend on what is given. */
export function tokenCheck(token: string): (request: Request) => boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const wanted = digest(`Bearer ${token}`)
  return ({ headers }) => timingSafeEqual(digest(headers.get('authorization') ?? ''), wanted)
}
