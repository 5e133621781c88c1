/** The part of bentocache that the benchmarks use. */
interface Bento {
  getOrSet<T>(options: { key: string; factory: () => T | Promise<T> }): Promise<T>
  disconnect(): Promise<void>
}

/** Returns bentocache over one of its drivers, or undefined if `npm install --prefix bench` was not run. */
export async function openBento(layer: 'memory' | 'redis', url = ''): Promise<Bento | undefined> {
  const load = (name: string) => import(name)
  try {
    const { BentoCache, bentostore } = await load('bentocache')
    const store = bentostore()
    if (layer === 'memory') {
      const { memoryDriver } = await load('bentocache/drivers/memory')
      store.useL1Layer(memoryDriver({ maxItems: 10_000 }))
    } else {
      const { redisDriver } = await load('bentocache/drivers/redis')
      const { hostname: host, port } = new URL(url)
      store.useL2Layer(redisDriver({ connection: { host, port: Number(port) } }))
    }
    return new BentoCache({ default: 'cache', stores: { cache: store } })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
