/** @import { ListPage, EventItem } from './items.d.ts' */

/** An answer that is none. */
export class Failed extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

const AGAIN = ': it may have been ended. Start it again: holdfast studio'

/**
 * Takes the token out of the address, where a screenshot or the history would keep it. Returns true if there was one.
 */
export function takeToken() {
  const [, token] = /^#token=([\w-]+)$/.exec(location.hash) ?? []
  if (token === undefined) return false
  sessionStorage.setItem('token', token)
  history.replaceState(null, '', `${location.pathname}${location.search}#/`)
  return true
}

/** Returns the owner that lists are limited to. */
export const owner = () => sessionStorage.getItem('owner') ?? ''

/** @param {string} id */
export const setOwner = (id) => sessionStorage.setItem('owner', id)

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} given
 */
function urlOf(path, given) {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && value !== '') parameters.set(name, String(value))
  }
  return `api/${path}?${parameters}`
}

/**
 * @param {string} url
 * @param {RequestInit} [options]
 */
async function request(url, options = {}) {
  const token = sessionStorage.getItem('token')
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) }
  let response
  try {
    response = await fetch(url, { ...options, headers })
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new Failed('UNREACHABLE', `Studio does not answer${AGAIN}`)
  }
  if (response.ok) return response
  const { error } = await response.json().catch(() => ({ error: {} }))
  throw new Failed(error?.code ?? String(response.status), error?.message ?? 'Studio failed to answer.')
}

/**
 * Asks the API for JSON.
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [given]
 * @param {AbortSignal} [signal]
 */
export async function get(path, given = {}, signal) {
  return (await request(urlOf(path, given), { signal })).json()
}

/**
 * Sends an answer.
 * @param {string} path
 * @param {unknown} body
 */
export async function post(path, body) {
  const headers = { 'content-type': 'application/json' }
  return (await request(urlOf(path, {}), { method: 'POST', headers, body: JSON.stringify(body) })).json()
}

/**
 * Reads the bytes of a blob.
 * @param {string} id
 * @param {AbortSignal} [signal]
 */
export async function bytesOf(id, signal) {
  return (await request(urlOf('blob/bytes', { id }), { signal })).blob()
}

/**
 * Yields pages of events as they come.
 * @param {Record<string, string | number | undefined>} given
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<ListPage<EventItem>>}
 */
export async function* follow(given, signal) {
  const response = await request(urlOf('events/follow', given), { signal })
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (signal.aborted) throw error
      return { done: true, value: '' } // the connection is cut
    })
    if (done) throw new Failed('ENDED', `Studio does not send events any more${AGAIN}`)
    const lines = `${rest}${value}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') continue
      const page = JSON.parse(line)
      if (page.error) throw new Failed(page.error.code, page.error.message)
      yield page
    }
  }
}
