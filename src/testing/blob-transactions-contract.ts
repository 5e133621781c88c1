import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type Cases, refused } from './contract.ts'

/** The cases of the blobs of a transaction. */
export const blobTransactionCases: Cases = {
  async 'put() is visible in the transaction, and elsewhere after the commit'({ storage }) {
    const data = randomBytes(1000)
    const { id } = await storage.transaction(async (tx) => {
      const record = await tx.blobs.put(data)
      assert.ok((await tx.blobs.bytes(record.id)).equals(data))
      assert.deepEqual(await tx.blobs.get(record.id), record)
      return record
    })
    assert.ok((await storage.blobs.bytes(id)).equals(data))
  },

  async 'put() leaves neither a record nor bytes when the transaction rolls back'({ storage }) {
    const before = await storage.blobs.stats()
    const undone = storage.transaction(async (tx) => {
      const { id } = await tx.blobs.put(randomBytes(1000))
      await tx.transaction((inner) => inner.blobs.put(randomBytes(1000)))
      throw new Error(id)
    })
    const id = await undone.catch((error: Error) => error.message)
    assert.equal(await storage.blobs.exists(String(id)), false)
    assert.deepEqual(await storage.blobs.stats(), before)
    assert.equal((await storage.blobs.verify()).ok, true)
  },

  async 'put() is undone by the rollback of its savepoint alone'({ storage }) {
    const [kept, shared] = [randomBytes(1000), randomBytes(1000)]
    const { id } = await storage.transaction(async (tx) => {
      const failing = tx.transaction(async (inner) => {
        await inner.blobs.put(shared)
        await inner.blobs.put(randomBytes(1000))
        throw new Error('of the program')
      })
      await assert.rejects(failing, /of the program/)
      await tx.blobs.put(shared)
      return tx.blobs.put(kept)
    })
    assert.ok((await storage.blobs.bytes(id)).equals(kept))
    assert.equal((await storage.blobs.verify()).ok, true)
  },

  async 'delete() loses nothing when the transaction rolls back'({ storage }) {
    const data = randomBytes(1000)
    const { id } = await storage.blobs.put(data)
    const deleting = (end: () => void) =>
      storage.transaction(async (tx) => {
        assert.equal(await tx.blobs.delete(id), true)
        assert.equal(await tx.blobs.exists(id), false)
        end()
      })
    await assert.rejects(
      deleting(() => {
        throw new Error('of the program')
      }),
    )
    assert.ok((await storage.blobs.bytes(id)).equals(data))
    const before = await storage.blobs.stats()
    await deleting(() => {})
    const { contents, bytes } = await storage.blobs.stats()
    assert.deepEqual([contents, bytes], [before.contents - 1, before.bytes - 1000])
  },

  async 'cleanup() and verify() reject in a transaction, and so do the blobs of the storage'({ storage }) {
    await storage.transaction(async (tx) => {
      await tx.blobs.put(randomBytes(10))
      await refused(storage.blobs.put(randomBytes(10)), 'TRANSACTION_MISUSE')
      await refused(storage.blobs.list(), 'TRANSACTION_MISUSE')
      await refused(tx.blobs.cleanup(), 'TRANSACTION_MISUSE')
      await refused(tx.blobs.verify(), 'TRANSACTION_MISUSE')
    })
  },
}
