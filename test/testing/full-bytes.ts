import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type BytesBackend,
  type ListOptions,
  type Location,
  type Staged,
  type StageOptions,
  StorageError,
  type UrlOptions,
} from 'holdfast'
import { chunksOf, contentOf, hashOf, keyOf } from '../own-bytes.ts'

type Place = Pick<Location, 'hash' | 'generation'>

interface Held {
  bytes: Uint8Array
  at: Date
}

/** A backend with every optional method, from which tests make wrong ones. */
export class FullBytes implements BytesBackend {
  readonly type: string = 'full'
  readonly objects = new Map<string, Held>()
  readonly staged = new Map<string, Held>()
  readonly moved = new Map<string, Held & { hash: string }>()
  readonly #endpoint: string

  /** `endpoint` is where `serveUrls` serves the objects. */
  constructor(endpoint = '') {
    this.#endpoint = endpoint
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    const { bytes, hash } = await contentOf(source, options)
    return { hash, size: bytes.length, head: bytes.slice(0, 4096), ...this.stagedAs(this.stagedKey(hash), hash, bytes) }
  }

  /** Returns the key of what is staged. */
  stagedKey(_hash: string): string {
    return randomUUID()
  }

  stagedAs(key: string, hash: string, bytes: Uint8Array): Pick<Staged, 'commit' | 'discard'> {
    this.staged.set(key, { bytes, at: new Date() })
    let isCommitted = false
    return {
      commit: async (generation) => {
        const name = keyOf({ hash, generation })
        const held = this.staged.get(key)
        if (held) this.objects.set(name, held)
        else if (!isCommitted) throw new StorageError('INVALID_STATE', 'discarded', { details: { hash } })
        isCommitted = true
        this.staged.delete(key)
      },
      discard: async () => void this.staged.delete(key),
    }
  }

  async *open(location: Location, start?: number, end?: number, into?: Uint8Array): AsyncIterable<Uint8Array> {
    yield* chunksOf(this.find(location)?.bytes, location, start, end, into)
  }

  async size(location: Location): Promise<number | undefined> {
    return this.find(location)?.bytes.length
  }

  async has(location: Location): Promise<boolean> {
    const bytes = this.find(location)?.bytes
    return bytes?.length === location.size && hashOf(bytes) === location.hash
  }

  async remove(location: Location): Promise<boolean> {
    return this.objects.delete(keyOf(location))
  }

  async removeMany(locations: readonly Location[]): Promise<void> {
    for (const name of locations.map(keyOf)) this.objects.delete(name)
  }

  async *list({ after }: ListOptions = {}): AsyncIterable<Location> {
    for (const name of [...this.objects.keys()].sort()) {
      if (after && name <= keyOf(after)) continue
      const [hash = '', generation = ''] = name.split('.')
      yield { hash, generation, size: this.objects.get(name)?.bytes.length ?? 0 }
    }
  }

  async quarantine(location: Location): Promise<boolean> {
    const held = this.find(location)
    if (held === undefined || hashOf(held.bytes) === location.hash) return false
    this.moved.set(randomUUID(), { hash: location.hash, bytes: held.bytes, at: new Date() })
    return this.objects.delete(keyOf(location))
  }

  async *quarantined() {
    for (const [key, { hash, at }] of this.moved) {
      yield { hash, movedAt: at, remove: async () => void this.moved.delete(key) }
    }
  }

  async sweepStaged(before: Date, { dryRun = false } = {}): Promise<number> {
    const old = [...this.staged].filter(([, { at }]) => at < before)
    for (const [key] of dryRun ? [] : old) this.staged.delete(key)
    return old.length
  }

  path(location: Location): string | undefined {
    keyOf(location)
    return undefined
  }

  async url(location: Location, { expiresSeconds, disposition, mimeType }: UrlOptions): Promise<string> {
    const until = String(Date.now() + expiresSeconds * 1000)
    return `${this.#endpoint}/${keyOf(location)}?${new URLSearchParams({ until, disposition, mimeType })}`
  }

  async storedAt(location: Location): Promise<Date | undefined> {
    return this.find(location)?.at
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  find(location: Place): Held | undefined {
    return this.objects.get(keyOf(location))
  }
}

/** Serves the objects of a backend at its URLs. */
export async function serveUrls(current: () => FullBytes) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://127.0.0.1')
    const held = current().objects.get(pathname.slice(1))
    const isOver = Number(searchParams.get('until')) < Date.now()
    const type = { 'content-type': searchParams.get('mimeType') ?? '' }
    const disposition = { 'content-disposition': searchParams.get('disposition') ?? '' }
    response.writeHead(isOver ? 403 : held ? 200 : 404, { ...type, ...disposition, connection: 'close' })
    response.end(isOver ? '' : held?.bytes)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // it listens on a port, not on a pipe
  const close = () => once(server.close(), 'close')
  return { endpoint: `http://127.0.0.1:${port}`, close }
}
