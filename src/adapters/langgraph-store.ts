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
import { itemsOf, MAX_ITEMS, partsOf } from './parts.ts'

/** The namespace of `kv` that holds all items. */
const ROOT = 'langgraph'
const DEFAULT_LIMIT = 10

/** What an item holds: a JSON object. */
type Value = Item['value']

/** Options of `HoldfastStore`. */
export interface HoldfastStoreOptions {
  /** How long an item is kept after it was put, in seconds. Default: until it is deleted. */
  ttlSeconds?: number
}

/**
 * A store for LangGraph over `storage.kv`, or that of a scope: what an agent knows beyond a thread. Filters and lists of
 * namespaces are answered by the database. Items are found in the byte order of namespace and key.
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
  readonly #root: Kv
  readonly #ttlSeconds: number | undefined

  /** `storage` may be a scope or a transaction as well. */
  constructor({ kv }: { readonly kv: Kv }, { ttlSeconds }: HoldfastStoreOptions = {}) {
    super()
    this.#root = kv.namespace(ROOT)
    this.#ttlSeconds = ttlSeconds
  }

  /**
   * Runs operations, and returns their results in the same order. Reads see the items as they were before the writes. Of
   * two writes of an item the last counts. Up to 1000 values that go to one namespace are stored in one transaction. Safe to
   * repeat.
   *
   * @throws {INVALID_INPUT} when a label, a key, a value or a filter is not valid.
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
  }: SearchOperation): Promise<SearchItem[]> {
    const at = this.#at(namespacePrefix)
    const where = filter && conditionsOf(filter)
    const found = await itemsOf((page) => at.find<Value>({ where, ...page }), offset + limit)
    return found.slice(offset).map((entry) => itemOf([...namespacePrefix, ...entry.namespace], entry))
  }

  async #namespaces({
    matchConditions = [],
    maxDepth,
    limit,
    offset = 0,
  }: ListNamespacesOperation): Promise<string[][]> {
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

  /** Yields a namespace if it has items, and those below it, in their order. */
  async *#below(base: string[], whole: number | undefined): AsyncGenerator<string[]> {
    const at = this.#at(base)
    const depth = whole === undefined ? undefined : Math.max(1, whole - base.length)
    if (base.length > 0 && (await at.keys({ limit: 1 })).items.length > 0) yield base
    for (let cursor: string | undefined; ; ) {
      const page = await at.namespaces({ depth, cursor, limit: MAX_ITEMS })
      for (const labels of page.items) yield [...base, ...labels]
      cursor = page.nextCursor
      if (cursor === undefined) return
    }
  }

  async #write(puts: PutOperation[]): Promise<void> {
    const places = new Map<string, Map<string, PutOperation>>()
    for (const put of puts) {
      const name = JSON.stringify(put.namespace)
      const place = places.get(name) ?? new Map()
      places.set(name, place.set(put.key, put))
    }
    for (const place of places.values()) {
      const all = [...place.values()]
      const at = this.#at(all[0]?.namespace ?? [])
      const options = { ttlSeconds: this.#ttlSeconds }
      const values = all.flatMap(({ key, value }) => (value === null ? [] : [[key, value] as const]))
      for (const part of partsOf(values)) await at.setMany(part, options)
      const removed = all.flatMap(({ key, value }) => (value === null ? [key] : []))
      for (const part of partsOf(removed)) await at.deleteMany(part)
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

/** Returns the conditions of a filter. LangGraph's operators are ours with a dollar sign. */
function conditionsOf(filter: Record<string, unknown>): PropertyConditions {
  const conditions: Record<string, PropertyTests> = {}
  for (const [property, wanted] of Object.entries(filter)) {
    const tests = isOperators(wanted)
      ? Object.fromEntries(Object.entries(wanted).map(([name, value]) => [OPERATORS[name] ?? name, value]))
      : { eq: wanted as PropertyTests['eq'] } // kv checks it
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

function isOperators(wanted: unknown): wanted is Record<string, unknown> {
  const isObject = typeof wanted === 'object' && wanted !== null && !Array.isArray(wanted)
  return isObject && Object.keys(wanted).every((name) => name.startsWith('$'))
}

/** Returns the labels before the first wildcard. */
function literalStart(path: NameSpacePath): string[] {
  const end = path.indexOf('*')
  return end === -1 ? path : path.slice(0, end)
}

/** Returns how many labels of a namespace are needed, or undefined if all are: the end of a namespace needs all. */
function depthOf(conditions: MatchCondition[], maxDepth: number | undefined): number | undefined {
  if (maxDepth === undefined || conditions.some(({ matchType }) => matchType === 'suffix')) return undefined
  return Math.max(maxDepth, ...conditions.map(({ path }) => path.length))
}

function matches({ matchType, path }: MatchCondition, labels: string[]): boolean {
  if (path.length > labels.length) return false
  const start = matchType === 'prefix' ? 0 : labels.length - path.length
  return path.every((label, i) => label === '*' || label === labels[start + i])
}
