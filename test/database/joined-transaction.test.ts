import { beforeEach, expect, type MockInstance, test, vi } from 'vitest'
import { Database } from '../../src/database/database.ts'
import type { Db, Driver } from '../../src/database/db.ts'
import { joinTransaction } from '../../src/database/joined-transaction.ts'
import { openMemory } from '../../src/database/sqlite/open.ts'
import { read, write } from './drivers.ts'

let database: Database
let begin: MockInstance<Driver['begin']>

beforeEach(async () => {
  const driver = await openMemory()
  begin = vi.spyOn(driver, 'begin')
  database = new Database(driver)
  await database.run(write('create table t (id integer)'))
  return () => driver.close()
})

const insert = (db: Db, id: number) => db.run(write('insert into t values (?)', id))
const ids = async () => (await database.run(read('select id from t'))).flat()

test('joinTransaction() opens no transaction if the body uses none', async () => {
  expect(await joinTransaction(database, async () => 'result')).toBe('result')
  expect(begin).not.toHaveBeenCalled()
})

test('joinTransaction() commits all that the body did in one transaction', async () => {
  await joinTransaction(database, async (tx) => {
    await insert(tx, 1)
    await insert(tx, 2)
  })
  expect(await ids()).toEqual([1, 2])
  expect(begin).toHaveBeenCalledOnce()
})

test('joinTransaction() rolls back before it rejects', async () => {
  const failed = joinTransaction(database, async (tx) => {
    await insert(tx, 1)
    throw new Error('the body failed')
  })
  await expect(failed).rejects.toThrow('the body failed')
  expect(await ids()).toEqual([])
})

test('joinTransaction() rejects if the transaction cannot be opened', async () => {
  await database.close()
  const ignored = joinTransaction(database, async (tx) => void (await insert(tx, 1).catch(() => {})))
  await expect(ignored).rejects.toMatchObject({ code: 'CLOSED' })
})

test('the handle of joinTransaction() rejects calls after the end of the transaction', async () => {
  let late: Db | undefined
  await joinTransaction(database, async (tx) => {
    late = tx
    await insert(tx, 1)
  })
  await expect(late?.run(read('select 1'))).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
})
