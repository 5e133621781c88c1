import { randomBytes } from 'node:crypto'
import type { StorageTransaction } from 'holdfast'
import { expect, it } from 'vitest'
import { signal } from '../../src/testing/contract.ts'
import { eachStore, INSIDE, MAIN_RECORDS, SEPARATE_RECORDS } from './stores.ts'

const put = (tx: Pick<StorageTransaction, 'blobs'>) => tx.blobs.put(randomBytes(10))

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS, ...INSIDE }, (open) => {
  it.each(['transaction', 'savepoint'])(
    'a %s that goes on after timeoutMillis stores no blob, and holds up no put',
    async (kind) => {
      await using storage = await open()
      const { count } = await storage.blobs.stats()
      const [{ reached: hasPut, reach: notePut }, { reached: over, reach: end }] = [signal(), signal()]
      let late: Promise<unknown> = Promise.resolve()
      const body = async (tx: Pick<StorageTransaction, 'blobs'>) => {
        await put(tx)
        notePut()
        late = over.then(() => put(tx))
        await late
      }
      const slow = storage.transaction(
        async (tx) => {
          await put(tx)
          await (kind === 'transaction' ? body(tx) : tx.transaction(body))
        },
        { timeoutMillis: 2000 }, // the body must have put by then
      )
      await hasPut
      await expect(slow).rejects.toMatchObject({ code: 'TIMEOUT' })
      await put(storage)
      end()
      await expect(late).rejects.toMatchObject({ name: 'StorageError' })
      expect((await storage.blobs.stats()).count).toBe(count + 1)
    },
  )

  it('close() waits for closeTimeoutMillis for a transaction that has put a blob, and does not end', async () => {
    const storage = await open({ closeTimeoutMillis: 300 })
    const { reached: hasPut, reach: notePut } = signal()
    const stuck = storage.transaction(async (tx) => {
      await put(tx)
      notePut()
      await new Promise(() => {})
    })
    const refused = expect(stuck).rejects.toMatchObject({ code: 'CLOSED' })
    await hasPut
    const begun = performance.now()
    await storage.close()
    expect(performance.now() - begun).toBeLessThan(15_000) // 30 s if the database of the records waits for it
    await refused
  })
})
