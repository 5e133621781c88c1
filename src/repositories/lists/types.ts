import type { Given, Json } from '../../schema/values.ts'

/** What the function given to `lists.update()` returns. */
export interface ListUpdate<Result, Item = Json> {
  /** The new items of the list, JSON values. */
  items: readonly Given<Item, Json, unknown>[]
  /** What `update()` returns. */
  result: Result
}

/** The function given to `lists.update()`. */
export type ListChange<Result, Item = Json> = (
  items: Item[],
) => ListUpdate<Result, Item> | Promise<ListUpdate<Result, Item>>
