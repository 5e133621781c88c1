import { StorageError } from '../errors.ts'
import { invalid } from './invalid.ts'
import { partsOf } from './parts.ts'

const MAX_DIMENSIONS = 8192
const MAX_MILLIS = 2 ** 31 - 1
const DEFAULT_FIELDS = ['$']

/** An embedding model with LangChain's interface, such as `OpenAIEmbeddings`. */
export interface StoreEmbeddings {
  /** Returns a vector for each stored text, in the order of the texts. */
  embedDocuments(texts: string[]): Promise<readonly ArrayLike<number>[]>
  /** Returns the vector of a query. */
  embedQuery(text: string): Promise<ArrayLike<number>>
}

/** How a store finds items by their meaning: LangGraph's `IndexConfig`, with further options. */
export interface StoreIndex {
  /** How many numbers each vector has: 1 to 8192. */
  dims: number
  /** The model. Required, unless `embed` is set. It is never called inside a transaction. */
  embeddings?: StoreEmbeddings | undefined
  /**
   * The model under the name that LangGraph's `PostgresStore` has for it. Takes precedence over `embeddings`. A function embeds
   * both stored texts and queries.
   */
  embed?: StoreEmbeddings | StoreEmbeddings['embedDocuments'] | undefined
  /**
   * The paths of the texts in a value that are embedded, such as `title` or `chapters[*].text`. Each text gets a vector of its
   * own. Default `['$']`: the whole value.
   */
  fields?: readonly string[] | undefined
  /**
   * The name of the model, up to 200 characters. Vectors of models with different names or dimensions are never compared.
   * Default: the property `model` of the model, if it is such a text. Otherwise the model has no name.
   */
  model?: string | undefined
  /** How long a call of the model may take before it counts as failed. Milliseconds. Default 30,000. */
  timeoutMillis?: number | undefined
}

/** The program's model, with a time limit and checks of its answers. */
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
      throw invalid('options.index.timeoutMillis', `must be a whole number of milliseconds from 1 to ${MAX_MILLIS}`)
    checkPaths(fields, 'options.index.fields')
    this.#embeddings = modelOf(embed)
    this.dims = dims
    this.fields = fields
    this.name = nameOf(model, embed)
    this.#timeoutMillis = timeoutMillis
    this.#isInTransaction = isInTransaction
  }

  /**
   * Returns the vectors of stored texts, each scaled to length 1.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or does not return a valid vector for each text
   * @throws {INVALID_STATE} when the store works in a transaction
   */
  async documents(texts: readonly string[]): Promise<Float32Array[]> {
    const vectors: Float32Array[] = []
    for (const part of partsOf(texts)) {
      const answer = await this.#bounded(() => this.#embeddings.embedDocuments([...part]))
      const found: unknown = Array.isArray(answer) ? answer.length : 'no list'
      if (!Array.isArray(answer) || found !== part.length)
        throw failed(`answered with ${found} instead of ${part.length} vectors`)
      vectors.push(...answer.map((vector) => this.#normalised(vector)))
    }
    return vectors
  }

  /**
   * Returns the vector of a query, scaled to length 1.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or does not return a valid vector
   * @throws {INVALID_STATE} when the store works in a transaction
   */
  async query(text: string): Promise<Float32Array> {
    return this.#normalised(await this.#bounded(() => this.#embeddings.embedQuery(text)))
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
      // The async function turns an error that is thrown at once into a rejection.
      const answer = (async () => call())().catch((cause: unknown) => {
        throw failed('failed', cause)
      })
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Checks a vector, and returns it scaled to length 1. A vector of zeros has no direction, and stays as it is.
   *
   * @throws {EMBEDDING_FAILED} when it does not have `dims` finite numbers
   */
  #normalised(vector: unknown): Float32Array {
    const length: unknown = Reflect.get(Object(vector), 'length')
    if (typeof vector !== 'object' || length !== this.dims)
      throw failed(`answered without a vector of ${this.dims} numbers`)
    const numbers: unknown[] = Array.from(vector as ArrayLike<unknown>) // it has a length
    let squares = 0
    for (const number of numbers) squares += typeof number === 'number' ? number * number : Number.NaN
    if (!Number.isFinite(squares)) throw failed('answered with a vector that has other values than finite numbers')
    const norm = Math.sqrt(squares) || 1
    return Float32Array.from(numbers as number[], (number) => number / norm) // another value would have made the sum NaN
  }
}

/**
 * Checks that `paths` is a list of texts. `at` is its path in the call.
 *
 * @throws {INVALID_INPUT} when it is anything else
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
