import { StorageError } from '../errors.ts'
import { invalid } from './invalid.ts'
import { partsOf } from './parts.ts'

const MAX_DIMENSIONS = 8192
const MAX_MILLIS = 2 ** 31 - 1
const DEFAULT_FIELDS = ['$']

/** A model as LangChain has it, such as `OpenAIEmbeddings`. */
export interface StoreEmbeddings {
  /** Returns a vector for each text that is stored, in the order of the texts. */
  embedDocuments(texts: string[]): Promise<readonly ArrayLike<number>[]>
  /** Returns the vector of a text that is searched for. */
  embedQuery(text: string): Promise<ArrayLike<number>>
}

/** How a store finds items by their meaning. It has the shape of LangGraph's own `IndexConfig`. */
export interface StoreIndex {
  /** How many numbers each vector has: 1 to 8192. */
  dims: number
  /** The model. It is never called inside a transaction. */
  embeddings?: StoreEmbeddings | undefined
  /**
   * The model, as `PostgresStore` names it: instead of `embeddings`. It may be a function that embeds both stored texts and
   * queries.
   */
  embed?: StoreEmbeddings | StoreEmbeddings['embedDocuments'] | undefined
  /**
   * The paths of what is embedded of an item, each text by itself, such as `title` or `chapters[*].text`. Default `['$']`:
   * the whole value.
   */
  fields?: readonly string[] | undefined
  /**
   * The name of the model, up to 200 characters. Vectors of models with different names or dimensions are never compared.
   * Default: the property `model` of `embeddings`, if it is a text.
   */
  model?: string | undefined
  /** How long a call of the model may take. Then it counts as failed. Milliseconds. Default 30,000. */
  timeoutMillis?: number | undefined
}

/** The program's model, with a bound of time, and with checks of what it answers. */
export class StoreModel {
  readonly dims: number
  /** The name of the model, or null if it has none. */
  readonly name: string | null
  readonly fields: readonly string[]
  readonly #embeddings: StoreEmbeddings
  readonly #timeoutMillis: number
  readonly #isInTransaction: boolean

  constructor(index: StoreIndex, isInTransaction: boolean) {
    const { dims, embeddings, embed = embeddings, fields = DEFAULT_FIELDS, model, timeoutMillis = 30_000 } = index
    if (!isInteger(dims, MAX_DIMENSIONS))
      throw invalid('options.index.dims', `must be an integer from 1 to ${MAX_DIMENSIONS}`)
    if (!isInteger(timeoutMillis, MAX_MILLIS))
      throw invalid('options.index.timeoutMillis', 'must be a number of milliseconds')
    checkPaths(fields, 'options.index.fields')
    this.#embeddings = modelOf(embed)
    this.dims = dims
    this.fields = fields
    this.name = nameOf(model, embed)
    this.#timeoutMillis = timeoutMillis
    this.#isInTransaction = isInTransaction
  }

  /**
   * Returns the vectors of texts that are stored.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or answers with something else
   * @throws {INVALID_STATE} when the store is over a transaction
   */
  async documents(texts: readonly string[]): Promise<Float32Array[]> {
    const vectors: Float32Array[] = []
    for (const part of partsOf(texts)) {
      const answer = await this.#bounded(() => this.#embeddings.embedDocuments([...part]))
      const found: unknown = Array.isArray(answer) ? answer.length : 'no list'
      if (!Array.isArray(answer) || found !== part.length)
        throw failed(`answered with ${found} instead of ${part.length} vectors`)
      vectors.push(...answer.map((vector) => this.#checked(vector)))
    }
    return vectors
  }

  /**
   * Returns the vector of a text that is searched for.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or answers with something else
   * @throws {INVALID_STATE} when the store is over a transaction
   */
  async query(text: string): Promise<Float32Array> {
    return this.#checked(await this.#bounded(() => this.#embeddings.embedQuery(text)))
  }

  async #bounded(call: () => Promise<unknown>): Promise<unknown> {
    if (this.#isInTransaction) {
      const message = 'The model is not called inside a transaction: use a store over the storage or a scope'
      throw new StorageError('INVALID_STATE', message)
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const end = () => reject(failed(`did not answer within ${this.#timeoutMillis} ms`))
      timer = setTimeout(end, this.#timeoutMillis)
    })
    try {
      // A call that throws at once is a failure like any other.
      const answer = (async () => call())().catch((cause: unknown) => {
        throw failed('failed', cause)
      })
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Returns a vector of length 1 with the same direction. One of zeros has no direction, and stays as it is. */
  #checked(vector: unknown): Float32Array {
    const length: unknown = Reflect.get(Object(vector), 'length')
    if (typeof vector !== 'object' || length !== this.dims)
      throw failed(`answered without a vector of ${this.dims} numbers`)
    const numbers: unknown[] = Array.from(vector as ArrayLike<unknown>) // it has a length
    let squares = 0
    for (const number of numbers) squares += typeof number === 'number' ? number * number : Number.NaN
    if (!Number.isFinite(squares)) throw failed('answered with a vector that has something else than finite numbers')
    const norm = Math.sqrt(squares) || 1
    return Float32Array.from(numbers as number[], (number) => number / norm) // others would have made NaN of the sum
  }
}

/**
 * Throws if a list of paths is none.
 *
 * @throws {INVALID_INPUT} when it is not a list of texts
 */
export function checkPaths(paths: unknown, at: string): asserts paths is readonly string[] {
  const isList = Array.isArray(paths) && paths.every((path) => typeof path === 'string')
  if (!isList) throw invalid(at, 'must be a list of paths, such as ["$"]')
}

function isInteger(value: unknown, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max
}

function modelOf(embed: StoreIndex['embed']): StoreEmbeddings {
  if (typeof embed === 'function') {
    const first = async (text: string) => (await embed([text]))[0] ?? []
    return { embedDocuments: embed, embedQuery: first }
  }
  const isModel = typeof embed?.embedDocuments === 'function' && typeof embed.embedQuery === 'function'
  if (!isModel) throw invalid('options.index.embeddings', 'must have the methods embedDocuments and embedQuery')
  return embed
}

function nameOf(given: string | undefined, embed: unknown): string | null {
  const name: unknown = given ?? Reflect.get(Object(embed), 'model')
  const isName = typeof name === 'string' && name.length >= 1 && name.length <= 200
  if (given !== undefined && !isName) throw invalid('options.index.model', 'must be a text of 1 to 200 characters')
  return isName ? name : null
}

function failed(what: string, cause?: unknown): StorageError<'EMBEDDING_FAILED'> {
  return new StorageError('EMBEDDING_FAILED', `The embedding model ${what}`, { cause, retryable: true })
}
