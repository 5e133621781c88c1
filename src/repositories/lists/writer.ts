import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { batch } from '../../database/statement.ts'
import type { Json } from '../../schema/values.ts'
import { checkFunction, invalidInput, keySchema, MAX_INTEGER, parseInput } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { inSession } from '../sessions/in-session.ts'
import { isWriteConflict } from '../sessions/removal.ts'
import {
  deleteExpiredList,
  deleteItemsFrom,
  deleteList,
  extendList,
  insertItems,
  type ListWrite,
  selectItems,
  selectLength,
  setLength,
  upsertItems,
} from './statements.ts'
import type { ListChange } from './types.ts'

const itemsSchema = z.array(jsonSchema)

/** Writes lists: those that go with one session, or leaves it as it is with which session they go. */
export class ListWriter {
  readonly #db: Db
  readonly #context: RepositoryContext
  readonly #sessionId: string | null

  constructor(db: Db, context: RepositoryContext, sessionId: string | null = null) {
    this.#db = db
    this.#context = context
    this.#sessionId = sessionId
  }

  async append(key: string, items: unknown[]): Promise<number> {
    parseInput(keySchema, key, 'key')
    const values = parseInput(itemsSchema, items, 'items')
    const list = this.#list(key)
    if (values.length === 0) return (await selectLength.first(this.#db, list))?.length ?? 0
    return this.#inSession(list, (db) => appendTo(db, list, values))
  }

  async update<R>(key: string, change: ListChange<R>): Promise<R> {
    parseInput(keySchema, key, 'key')
    checkFunction(change, 'change')
    const list = this.#list(key)
    const work = (tx: Db) => changeIn(tx, list, change)
    return list.sessionId === null ? this.#db.transaction(work) : this.#inSession(list, work)
  }

  #list(key: string): ListWrite {
    return { key, sessionId: this.#sessionId, now: this.#context.now() }
  }

  #inSession<T>({ sessionId, now }: ListWrite, work: (db: Db) => Promise<T>): Promise<T> {
    return sessionId === null ? work(this.#db) : inSession(this.#db, { sessionId, now }, work)
  }
}

async function appendTo(db: Db, list: ListWrite, values: readonly Json[]): Promise<number> {
  const append = async () => (await batch(db, appendCalls(list, values)))[0][0]?.length ?? 0
  try {
    return await append()
  } catch (error) {
    // The positions of a list whose session has expired are taken.
    if (!isWriteConflict(error)) throw error
    await deleteExpiredList.all(db, list)
    return append()
  }
}

async function changeIn<R>(tx: Db, list: ListWrite, change: ListChange<R>): Promise<R> {
  const { key, now } = list
  if ((await extendList.first(tx, { ...list, count: 0 })) === undefined) {
    await deleteExpiredList.all(tx, list)
    await extendList.first(tx, { ...list, count: 0 })
  }
  const before = (await selectItems.all(tx, { key, start: 0, end: MAX_INTEGER, now })).map(({ value }) => value)
  const texts = before.map((item) => JSON.stringify(item)) // `change` may change the items that it is given
  const changed = await change(before)
  if (Object(changed) !== changed) throw invalidInput([{ path: 'change', message: 'must return { items, result }' }])
  const { items, result } = changed
  const values = parseInput(itemsSchema, items, 'items')
  await batch(tx, values.length === 0 ? [deleteList.with({ key, now })] : replaceCalls(key, texts, values))
  return result
}

/**
 * Returns the calls of one batch that makes `values` the items of a list. `before` is the items as JSON: those that say the
 * same are not written. The list's row stays: a delete() waits for it.
 */
function replaceCalls(key: string, before: readonly string[], values: readonly Json[]) {
  const rows = values.map((value, position) => ({ key, position, value }))
  const { length } = values
  return [
    ...(length < before.length ? [deleteItemsFrom.with({ key, position: length })] : []),
    ...(length === before.length ? [] : [setLength.with({ key, length })]),
    ...upsertItems.with(rows.filter(({ position, value }) => JSON.stringify(value) !== before[position])),
  ]
}

/** Returns the calls of one batch that appends `values`. The first one returns the new length. */
function appendCalls(list: ListWrite, values: readonly Json[]) {
  const rows = values.map((value, i) => ({ key: list.key, fromEnd: values.length - i, value }))
  return [extendList.with({ ...list, count: values.length }), ...insertItems.with(rows)] as const
}
