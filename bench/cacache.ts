import { loadPeer } from './load-peer.ts'

/** npm's store of contents by their hash. It syncs nothing: after a loss of power, what was put may be gone. */
interface Cacache {
  put(directory: string, key: string, data: Uint8Array, options: { algorithms: string[] }): Promise<unknown>
  get(directory: string, key: string): Promise<{ data: Uint8Array }>
}

export async function loadCacache(): Promise<Cacache | undefined> {
  return (await loadPeer<{ default: Cacache }>('cacache'))?.default
}
