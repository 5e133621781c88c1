import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import type { BytesBackend, Location, Quarantined } from '../blobs/bytes/backend.ts'
import { eachInput } from './contract.ts'
import { list, placeOf, put, read } from './stored-bytes.ts'

/** Options of `bytesContract`. */
export interface BytesContractOptions<Backend extends BytesBackend = BytesBackend> {
  /**
   * Replaces what is stored for an object, past the methods of the backend, as a broken disk does. Default: writes the file
   * that `path()` names.
   */
  damage?: ((bytes: Backend, location: Location, data: Uint8Array) => Promise<void>) | undefined
}

const SIZE = 1000

/** Returns what every backend must do about an object whose bytes were changed. */
export function damageCases<Backend extends BytesBackend>({
  damage = damageFile,
}: BytesContractOptions<Backend>): Record<string, (bytes: Backend) => Promise<void>> {
  const canDamage = ({ type }: Backend) => damage !== damageFile || type !== 'in-memory'
  return {
    ...eachInput<number, Backend>(
      [SIZE, SIZE - 1, SIZE + 1],
      (size) => `quarantine() moves an object of ${SIZE} bytes that is damaged and has ${size}, and no other`,
      async (size, bytes) => {
        if (!canDamage(bytes)) return
        const data = randomBytes(SIZE)
        const [damaged, twin] = [await put(bytes, [data]), await put(bytes, [data])]
        await damage(bytes, damaged, randomBytes(size))
        assert.equal(await bytes.quarantine(twin), false)
        assert.equal(await bytes.quarantine(damaged), true)
        assert.equal(await bytes.quarantine(damaged), false)
        assert.equal(await bytes.size(damaged), undefined)
        await assert.rejects(read(bytes, damaged), { code: 'BLOB_NOT_FOUND' })
        assert.deepEqual(await list(bytes), [placeOf(twin)])
        assert.ok((await read(bytes, twin)).equals(data))
        if (bytes.quarantined) await assertKept(bytes, damaged)
        const healed = await put(bytes, [data])
        assert.ok((await read(bytes, healed)).equals(data))
      },
    ),

    ...eachInput<number, Backend>(
      [0, SIZE - 1, SIZE + 1],
      (size) => `open() and has() notice that an object of ${SIZE} bytes has ${size}`,
      async (size, bytes) => {
        if (!canDamage(bytes)) return
        const location = await put(bytes, [randomBytes(SIZE)])
        await damage(bytes, location, randomBytes(size))
        await assert.rejects(read(bytes, location), { code: 'BLOB_CORRUPTED' })
        if (bytes.has) assert.equal(await bytes.has(location), false)
      },
    ),
  }
}

/** Asserts that the bytes are in quarantine since a moment, and can be removed from there. */
async function assertKept(bytes: BytesBackend, { hash }: Location): Promise<void> {
  const found = await quarantined(bytes)
  assert.deepEqual(
    found.map((each) => each.hash),
    [hash],
  )
  for (const { movedAt, remove } of found) {
    assert.ok(Math.abs(movedAt.getTime() - Date.now()) < 3_600_000, `moved at ${movedAt}`)
    await remove()
    await remove()
  }
  assert.deepEqual(await quarantined(bytes), [])
}

async function quarantined(bytes: BytesBackend): Promise<Quarantined[]> {
  const found: Quarantined[] = []
  for await (const each of bytes.quarantined?.() ?? []) found.push(each)
  return found
}

async function damageFile(bytes: BytesBackend, location: Location, data: Uint8Array): Promise<void> {
  const path = bytes.path(location)
  assert.ok(path, `give options.damage to bytesContract(): the objects of a backend ${bytes.type} have no path()`)
  await rm(path) // it may be read-only
  await writeFile(path, data)
}
