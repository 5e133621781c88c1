import { type Storage, StorageError } from '../index.ts'
import { Studio } from './studio.ts'
import type { StudioOptions } from './types.ts'

/**
 * Returns a function that serves Studio, the page to look at what is stored, for a program with a login and a server of its own.
 * The function takes a `Request`, returns the `Response`, and never rejects. It shows what all owners have.
 *
 * @throws {INVALID_INPUT} when an option is not valid, or `hosts` are named without `authorize`
 *
 * @example
 * ```ts
 * import { studioHandler } from 'holdfast/studio'
 * const studio = studioHandler(storage, { basePath: '/studio', authorize: ({ headers }) => headers.has('x-admin') })
 * console.log((await studio(new Request('https://agents.example.com/studio/'))).status) // 401
 * ```
 */
export function studioHandler(
  storage: Storage,
  { authorize, write = false, basePath = '/', hosts }: StudioOptions = {},
): (request: Request) => Promise<Response> {
  if (!basePath.startsWith('/')) throw invalid('basePath', 'must begin with a slash')
  if (authorize !== undefined && typeof authorize !== 'function') throw invalid('authorize', 'must be a function')
  if (authorize === undefined && hosts !== undefined) {
    throw invalid('authorize', 'must be given with hosts: without authorize Studio answers only this machine')
  }
  const studio = new Studio(storage, {
    gate: {
      hosts: hosts === undefined ? undefined : new Set(hosts.map((host) => host.toLowerCase())),
      isLoopback: authorize === undefined,
    },
    authorize: authorize ?? (() => true),
    isPagePublic: false,
    write,
    basePath: basePath.endsWith('/') ? basePath : `${basePath}/`,
  })
  return (request) => studio.handle(request)
}

function invalid(path: string, message: string): StorageError<'INVALID_INPUT'> {
  return new StorageError('INVALID_INPUT', `The options of studioHandler are not valid: ${path} ${message}`, {
    details: { problems: [{ path: `options.${path}`, message }] },
  })
}
