import type { Storage } from '../index.ts'
import { answerApproval } from './answers.ts'
import { assetResponse, isAsset } from './assets.ts'
import { blobResponse } from './blob-bytes.ts'
import { Following } from './following.ts'
import { type Gate, passGate, refuseOtherSites } from './gate.ts'
import { SECURITY_HEADERS } from './headers.ts'
import { Parameters } from './parameters.ts'
import { errorResponse, jsonResponse, Refusal } from './responses.ts'
import { ROUTES } from './routes.ts'

/** How a Studio is served. */
export interface Settings {
  readonly gate: Gate
  readonly authorize: (request: Request) => boolean | Promise<boolean>
  /** True if the files of the page are given to everybody who passes the gate: they hold no data, and bring the token. */
  readonly isPagePublic: boolean
  readonly write: boolean
  /** With a slash at both ends. */
  readonly basePath: string
}

/** The page and its API, over one storage. */
export class Studio {
  readonly #storage: Storage
  readonly #settings: Settings
  readonly #following = new Following()

  constructor(storage: Storage, settings: Settings) {
    this.#storage = storage
    this.#settings = settings
  }

  /** Answers a request. Never rejects. */
  async handle(request: Request): Promise<Response> {
    try {
      const response = await this.#answer(request)
      if (request.method !== 'HEAD') return response
      await response.body?.cancel()
      return new Response(null, response)
    } catch (error) {
      return errorResponse(error)
    }
  }

  /** Ends what would go on by itself. */
  end(): void {
    this.#following.end()
  }

  async #answer(request: Request): Promise<Response> {
    const { gate, authorize, basePath, isPagePublic } = this.#settings
    passGate(request, gate)
    const { pathname, search } = new URL(request.url)
    const path = pathname.startsWith(basePath) ? pathname.slice(basePath.length) : undefined
    const isPage = path !== undefined && isAsset(path)
    if (!(path === '' || pathname === basePath.slice(0, -1))) refuseOtherSites(request)
    if (!(isPage && isPagePublic) && !(await authorize(request))) {
      throw new Refusal(401, 'UNAUTHORIZED', 'This needs the link that Studio printed when it was started')
    }
    this.#checkMethod(request, path)
    if (pathname === basePath.slice(0, -1)) return redirect(`${basePath}${search}`)
    if (path?.startsWith('api/')) return this.#api(path.slice('api/'.length), request, new URLSearchParams(search))
    return assetResponse(path ?? pathname)
  }

  #checkMethod({ method }: Request, path: string | undefined): void {
    const isRead = method === 'GET' || method === 'HEAD'
    const isAnswer = path === `api/${ANSWER}`
    if (isAnswer && !this.#settings.write && method === 'POST') {
      throw new Refusal(403, 'READ_ONLY', 'Studio was started without --write, so it changes nothing')
    }
    if (isAnswer ? method !== 'POST' : !isRead) {
      throw new Refusal(405, 'METHOD', `This path does not take ${method}`, { allow: isAnswer ? 'POST' : 'GET, HEAD' })
    }
  }

  async #api(path: string, request: Request, search: URLSearchParams): Promise<Response> {
    const given = new Parameters(search)
    if (path === 'studio') return jsonResponse(this.#about())
    if (path === ANSWER) return jsonResponse(await answerApproval(this.#storage, request))
    if (path === 'events/follow') {
      const ownerId = given.text('owner')
      const { events } = ownerId === undefined ? this.#storage : this.#storage.scope({ ownerId })
      return this.#following.response(events, given, request.signal)
    }
    if (path === 'blob/bytes') return blobResponse(this.#storage, given.required('id'), request.signal)
    const route = ROUTES.get(path)
    if (route === undefined) throw new Refusal(404, 'NOT_FOUND', 'Studio has no such path')
    return jsonResponse(await route(this.#storage, given))
  }

  /** Returns what the page needs to know before it asks for anything else. */
  #about() {
    const { database } = this.#storage.config
    return { write: this.#settings.write, search: database.search, database: database.type }
  }
}

const ANSWER = 'approvals/respond'

function redirect(location: string): Response {
  return new Response(null, { status: 308, headers: { ...SECURITY_HEADERS, location } })
}
