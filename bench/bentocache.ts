import { loadPeer } from './load-peer.ts'

/** The part of bentocache that the benchmarks use. */
interface Bento {
  getOrSet<T>(options: { key: string; factory: () => T | Promise<T> }): Promise<T>
  disconnect(): Promise<void>
}

interface Store {
  useL1Layer(driver: unknown): unknown
  useL2Layer(driver: unknown): unknown
}

interface Bentocache {
  BentoCache: new (options: { default: string; stores: Record<string, Store> }) => Bento
  bentostore(): Store
}

interface Drivers {
  memoryDriver(options: { maxItems: number }): unknown
  redisDriver(options: { connection: { host: string; port: number } }): unknown
}

/** Returns bentocache over one of its drivers, or undefined if it is not installed. */
export async function openBento(layer: 'memory' | 'redis', url = ''): Promise<Bento | undefined> {
  const bentocache = await loadPeer<Bentocache>('bentocache')
  const drivers = await loadPeer<Drivers>(`bentocache/drivers/${layer}`)
  if (bentocache === undefined || drivers === undefined) return undefined
  const store = bentocache.bentostore()
  if (layer === 'memory') store.useL1Layer(drivers.memoryDriver({ maxItems: 10_000 }))
  else {
    const { hostname: host, port } = new URL(url)
    store.useL2Layer(drivers.redisDriver({ connection: { host, port: Number(port) } }))
  }
  return new bentocache.BentoCache({ default: 'cache', stores: { cache: store } })
}
