import {
  BaseStore,
  type GetOperation,
  type Item,
  type ListNamespacesOperation,
  type MatchCondition,
  type NameSpacePath,
  type Operation,
  type OperationResults,
  type PutOperation,
  type SearchItem,
  type SearchOperation,
} from '@langchain/langgraph-checkpoint'
import type { Kv } from '../repositories/kv/kv.ts'
import type { KvEntry } from '../repositories/kv/types.ts'
import type { PropertyConditions, PropertyTests } from '../repositories/kv/where.ts'
import type { StorageScope } from '../storage/types.ts'
import { checkStorage, invalid } from './invalid.ts'
import { deleteWithVectors, ItemVectors, putWithVectors } from './langgraph-vectors.ts'
import { itemsOf, MAX_ITEMS, partsOf } from './parts.ts'
import { type StoreIndex, StoreModel } from './store-model.ts'

/** The namespace of `kv` that holds all items. */
const ROOT = 'langgraph'
const DEFAULT_LIMIT = 10

/** What an item holds: a JSON object. */
type Value = Item['value']

/** What a store needs of a storage, a scope or a transaction. */
export type StoreStorage = { readonly kv: Kv } & Partial<Pick<StorageScope, 'transaction'>>

/** Options of `HoldfastStore`. */
export interface HoldfastStoreOptions {
  /** How long an item is kept after it was last put, in seconds. Default: until it is deleted. */
  ttlSeconds?: number
  /** How a `query` finds items by their meaning. Default: a search ignores its `query`. */
  index?: StoreIndex | undefined
}

/**
 * A store for LangGraph over the `kv` of a storage or a scope: it keeps what an agent knows beyond a thread. The database
 * applies the filters and lists the namespaces. A search returns items in the byte order of namespace and key. With `index`, a
 * search with a `query` returns the most similar items first.
 *
 * @example
 * ```ts
 * import { HoldfastStore } from 'holdfast/langgraph'
 * const store = new HoldfastStore(storage) // graph.compile({ store })
 * await store.put(['users', 'ann'], 'tea', { kind: 'green', cups: 3 })
 * console.log((await store.search(['users'], { filter: { cups: { $gte: 2 } } })).length) // 1
 * ```
 */
export class HoldfastStore extends BaseStore {
  readonly #storage: StoreStorage
  readonly #root: Kv
  readonly #ttlSeconds: number | undefined
  readonly #index: { model: StoreModel; vectors: ItemVectors } | undefined

  /**
   * `storage` may be a scope or a transaction as well. In a transaction the model is not called: search without a `query`,
   * and put with `index: false`.
   *
   * @throws {INVALID_INPUT} when `storage` is no storage, or `index` is not valid.
   */
  constructor(storage: StoreStorage, { ttlSeconds, index }: HoldfastStoreOptions = {}) {
    super()
    checkStorage(storage, 'kv')
    this.#storage = storage
    this.#root = storage.kv.namespace(ROOT)
    this.#ttlSeconds = ttlSeconds
    if (index === undefined) return
    if (storage.transaction === undefined)
      throw invalid('storage', 'must have the method transaction if there is an index')
    const model = new StoreModel(index, 'once' in storage)
    this.#index = { model, vectors: new ItemVectors(model) }
  }

  /**
   * Runs operations, and returns their results in the same order. Reads see the items as they were before the writes. If an item
   * is written twice, the last write counts. The values of one namespace are stored in transactions of up to 1000, each with
   * its vectors. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when a label, a key, a value, a path or a filter is not valid.
   * @throws {EMBEDDING_FAILED} when the model fails; nothing was written.
   * @throws {INVALID_STATE} when a query would compare more than 20,000 items, or the model would be called in a transaction.
   */
  override async batch<Operations extends Operation[]>(operations: Operations): Promise<OperationResults<Operations>> {
    const results = await Promise.all(operations.map((operation) => this.#read(operation)))
    await this.#write(operations.filter(isPut))
    return results as OperationResults<Operations> // #read returns what its operation asks for
  }

  #read(operation: Operation): Promise<Item | SearchItem[] | string[][] | null> {
    if (isPut(operation)) return Promise.resolve(null)
    if ('namespacePrefix' in operation) return this.#search(operation)
    return 'key' in operation ? this.#get(operation) : this.#namespaces(operation as ListNamespacesOperation)
  }

  async #get({ namespace, key }: GetOperation): Promise<Item | null> {
    const entry = await this.#at(namespace).getEntry<Value>(key)
    return entry === undefined ? null : itemOf(namespace, entry)
  }

  async #search({
    namespacePrefix,
    filter,
    limit = DEFAULT_LIMIT,
    offset = 0,
    query = '',
  }: SearchOperation): Promise<SearchItem[]> {
    const at = this.#at(namespacePrefix)
    const where = filter && conditionsOf(filter)
    const list = (page: { limit: number; cursor?: string }) => at.find<Value>({ where, ...page })
    if (this.#index === undefined || query.trim() === '') {
      const found = await itemsOf(list, offset + limit)
      return found.slice(offset).map((entry) => itemOf([...namespacePrefix, ...entry.namespace], entry))
    }
    const { model, vectors } = this.#index
    const wanted = await model.query(query)
    const ranked = await vectors.rank(this.#storage.kv, wanted, list, namespacePrefix, offset + limit)
    return ranked.slice(offset).map(({ entry, score }) => {
      return { ...itemOf([...namespacePrefix, ...entry.namespace], entry), ...(score !== undefined && { score }) }
    })
  }

  async #namespaces({
    matchConditions = [],
    maxDepth,
    limit,
    offset = 0,
  }: ListNamespacesOperation): Promise<string[][]> {
    if (limit !== undefined && limit < 1) return []
    const base = literalStart(matchConditions.find(({ matchType }) => matchType === 'prefix')?.path ?? [])
    const found = new Map<string, string[]>()
    for await (const labels of this.#below(base, depthOf(matchConditions, maxDepth))) {
      if (!matchConditions.every((condition) => matches(condition, labels))) continue
      const cut = labels.slice(0, maxDepth)
      found.set(JSON.stringify(cut), cut)
      if (found.size >= offset + limit) break
    }
    return [...found.values()].slice(offset)
  }

  /**
   * Yields the namespace `base` if it has items, then the namespaces below it, in byte order. `maxDepth` cuts namespaces to so
   * many labels, those of `base` included.
   */
  async *#below(base: string[], maxDepth: number | undefined): AsyncGenerator<string[]> {
    const at = this.#at(base)
    const depth = maxDepth === undefined ? undefined : Math.max(1, maxDepth - base.length)
    if (base.length > 0 && (await at.keys({ limit: 1 })).items.length > 0) yield base
    for (let cursor: string | undefined; ; ) {
      const page = await at.namespaces({ depth, cursor, limit: MAX_ITEMS })
      for (const labels of page.items) yield [...base, ...labels]
      cursor = page.nextCursor
      if (cursor === undefined) return
    }
  }

  async #write(given: PutOperation[]): Promise<void> {
    const byNamespace = new Map<string, Map<string, PutOperation>>()
    for (const put of given) {
      const name = JSON.stringify(put.namespace)
      const byKey = byNamespace.get(name) ?? new Map()
      byNamespace.set(name, byKey.set(put.key, put))
    }
    const groups = [...byNamespace.values()].map((byKey) => [...byKey.values()])
    if (this.#index !== undefined) return this.#writeIndexed(groups)
    for (const all of groups) {
      const at = this.#at(all[0]?.namespace ?? [])
      const options = { ttlSeconds: this.#ttlSeconds }
      const values = all.flatMap(({ key, value }) => (value === null ? [] : [[key, value] as const]))
      for (const part of partsOf(values)) await at.setMany(part, options)
      const removed = all.flatMap(({ key, value }) => (value === null ? [key] : []))
      for (const part of partsOf(removed)) await at.deleteMany(part)
    }
  }

  /** Embeds the values of all puts, then writes them with their vectors. Each group has the puts of one namespace. */
  async #writeIndexed(groups: PutOperation[][]): Promise<void> {
    const options = { ttlSeconds: this.#ttlSeconds }
    const stored = (await this.#index?.vectors.embed(groups.flat())) ?? new Map()
    for (const all of groups) {
      const labels = [ROOT, ...(all[0]?.namespace ?? [])]
      for (const part of partsOf(all.filter(({ value }) => value !== null))) {
        await this.#storage.transaction?.(({ kv }) =>
          putWithVectors(kv, kv.namespace(...labels), part, stored, options),
        )
      }
      for (const part of partsOf(all.filter(({ value }) => value === null))) {
        await this.#storage.transaction?.(({ kv }) => deleteWithVectors(kv, kv.namespace(...labels), part))
      }
    }
  }

  #at(namespace: readonly string[]): Kv {
    return namespace.length === 0 ? this.#root : this.#root.namespace(...namespace)
  }
}

function isPut(operation: Operation): operation is PutOperation {
  return 'value' in operation
}

function itemOf(namespace: string[], { key, value, createdAt, updatedAt }: KvEntry<Value>): Item {
  return { namespace, key, value, createdAt, updatedAt }
}

/** Translates a filter of LangGraph into conditions for `kv.find()`. */
function conditionsOf(filter: Record<string, unknown>): PropertyConditions {
  const conditions: Record<string, PropertyTests> = {}
  for (const [property, wanted] of Object.entries(filter)) {
    const path = `filter.${property}`
    if (wanted === undefined) throw invalid(path, 'must not be undefined: leave the property out')
    const tests = isOperators(wanted)
      ? Object.fromEntries(Object.entries(wanted).map(([name, value]) => [operatorOf(name, path), value]))
      : { eq: wanted as PropertyTests['eq'] } // `kv.find()` checks the value
    if (Object.keys(tests).length > 0) conditions[property] = tests
  }
  return conditions
}

const OPERATORS: Readonly<Record<string, keyof PropertyTests>> = {
  $eq: 'eq',
  $ne: 'ne',
  $gt: 'gt',
  $gte: 'gte',
  $lt: 'lt',
  $lte: 'lte',
  $in: 'in',
  $nin: 'notIn',
}

function operatorOf(name: string, path: string): keyof PropertyTests {
  const operator = OPERATORS[name]
  if (operator !== undefined) return operator
  throw invalid(path, `has the unknown operator ${name}: the operators are ${Object.keys(OPERATORS).join(', ')}`)
}

function isOperators(wanted: unknown): wanted is Record<string, unknown> {
  const isObject = typeof wanted === 'object' && wanted !== null && !Array.isArray(wanted)
  return isObject && Object.keys(wanted).every((name) => name.startsWith('$'))
}

/** Returns the labels before the first wildcard. */
function literalStart(path: NameSpacePath): string[] {
  const end = path.indexOf('*')
  return end === -1 ? path : path.slice(0, end)
}

/** Returns how many labels of each namespace are needed. Undefined if all are, as for a condition on the end of a namespace. */
function depthOf(conditions: MatchCondition[], maxDepth: number | undefined): number | undefined {
  if (maxDepth === undefined || conditions.some(({ matchType }) => matchType === 'suffix')) return undefined
  return Math.max(maxDepth, ...conditions.map(({ path }) => path.length))
}

function matches({ matchType, path }: MatchCondition, labels: string[]): boolean {
  if (path.length > labels.length) return false
  const start = matchType === 'prefix' ? 0 : labels.length - path.length
  return path.every((label, i) => label === '*' || label === labels[start + i])
}
