import { Refusal } from './responses.ts'

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** What a proxy adds. A request with one of these was not sent by this machine to itself. */
const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

/** Which requests are let in, before anybody is asked who they are. */
export interface Gate {
  /** The hosts that are answered. Undefined: every host, or if `isLoopback` every port of this machine. */
  readonly hosts: ReadonlySet<string> | undefined
  /** True if only requests of this machine are answered. */
  readonly isLoopback: boolean
}

/**
 * Refuses a request to a host that is not ours, or of a page that is not ours. A page of another site can make a browser send
 * requests here: under its own name, if its DNS names this machine (rebinding), or under ours, with its own origin.
 */
export function passGate(request: Request, { hosts, isLoopback }: Gate): void {
  const url = new URL(request.url)
  const named = [url.host, request.headers.get('host') ?? url.host].map((host) => host.toLowerCase())
  const isOurs = (host: string) => (hosts === undefined ? !isLoopback || LOOPBACK.has(nameOf(host)) : hosts.has(host))
  if (!named.every(isOurs)) {
    throw new Refusal(421, 'WRONG_HOST', 'Studio is not served under this host: open the link that it printed')
  }
  if (isLoopback && PROXY_HEADERS.some((name) => request.headers.has(name))) {
    throw new Refusal(403, 'FORWARDED', 'Studio without authorize answers this machine alone, and this came by a proxy')
  }
  const origin = request.headers.get('origin')
  if (origin !== null && !isOwnOrigin(origin, named, hosts)) {
    throw new Refusal(403, 'FOREIGN_ORIGIN', 'A page of another origin may not read or change what is stored')
  }
}

/**
 * Refuses what a page of another site has asked for. A link to the page itself may stand anywhere, so this is for everything
 * else. Browsers send the header since 2020 to 2023; what is older is stopped by the other rules.
 */
export function refuseOtherSites(request: Request): void {
  const site = request.headers.get('sec-fetch-site')
  if (site === null || site === 'same-origin' || site === 'none') return
  throw new Refusal(403, 'FOREIGN_ORIGIN', 'A page of another site may not read or change what is stored')
}

function isOwnOrigin(origin: string, named: readonly string[], hosts: ReadonlySet<string> | undefined): boolean {
  const [, host = ''] = /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase()) ?? []
  return named.includes(host) || hosts?.has(host) === true
}

/** Returns a host without its port. */
function nameOf(host: string): string {
  return host.replace(/:\d+$/, '')
}
