import * as z from 'zod/mini'
import { StorageError } from '../../errors.ts'
import { hashOfText, normalised, problemOf } from '../../search/vectors.ts'
import { rule } from '../../validation/fast-path.ts'
import { isInteger, millisSchema, textSchema } from '../../validation/input.ts'
import type { EmbedCall, EmbeddingModel } from './types.ts'

const MAX_DIMENSIONS = 8192
const MAX_BATCH = 2048
const MAX_CHARACTERS = 1_000_000

function integerSchema(min: number, max: number) {
  return rule<number>(isInteger(min, max), `must be an integer from ${min} to ${max}`)
}

export const embeddingSchema = z.strictObject({
  model: textSchema({ min: 1, max: 200 }),
  dimensions: integerSchema(1, MAX_DIMENSIONS),
  embed: rule<EmbeddingModel['embed']>((value) => typeof value === 'function', 'must be a function'),
  batchSize: z.optional(integerSchema(1, MAX_BATCH)),
  timeoutMillis: z.optional(millisSchema),
  maxCharacters: z.optional(integerSchema(1, MAX_CHARACTERS)),
})

/** A text as the model gets it, and the hash of the whole text. */
export interface EmbeddedText {
  text: string
  textHash: string
}

/** The program's model, with a bound of time, and with checks of what it answers. */
export class Model {
  /** The model with its dimensions, as the tables have it. */
  readonly key: string
  readonly dimensions: number
  readonly batchSize: number
  readonly #given: EmbeddingModel
  readonly #timeoutMillis: number
  readonly #maxCharacters: number

  constructor(given: EmbeddingModel) {
    const { model, dimensions, batchSize = 64, timeoutMillis = 30_000, maxCharacters = 8000 } = given
    this.key = `${model}/${dimensions}`
    this.dimensions = dimensions
    this.batchSize = batchSize
    this.#given = given
    this.#timeoutMillis = timeoutMillis
    this.#maxCharacters = maxCharacters
  }

  /** Returns what the model gets of a stored text, with its hash. The text is empty if there is nothing to embed. */
  textOf(stored: string): EmbeddedText {
    const text = stored.slice(0, this.#maxCharacters).toWellFormed().trim()
    return { text, textHash: hashOfText(stored) }
  }

  /**
   * Returns the vectors of texts that are not empty, each of length 1.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or answers with something else
   * @throws {ABORTED} when `signal` is aborted
   */
  async embed(texts: readonly string[], purpose: EmbedCall['purpose'], signal?: AbortSignal): Promise<Float32Array[]> {
    const answer = await this.#answer([...texts], purpose, signal)
    const found: unknown = Reflect.get(Object(answer), 'length')
    if (!Array.isArray(answer) || found !== texts.length) {
      throw failed(`answered with ${Array.isArray(answer) ? found : 'no list'} instead of ${texts.length} vectors`)
    }
    return answer.map((vector: unknown) => {
      const problem = problemOf(vector, this.dimensions)
      if (problem !== undefined) throw failed(`answered with a vector that ${problem}`)
      return normalised(vector as ArrayLike<number>) // it has no problem
    })
  }

  async #answer(texts: string[], purpose: EmbedCall['purpose'], given: AbortSignal | undefined): Promise<unknown> {
    const controller = new AbortController()
    let timer: NodeJS.Timeout | undefined
    let onAbort: (() => void) | undefined
    const ended = new Promise<never>((_, reject) => {
      const end = (error: StorageError) => {
        reject(error)
        controller.abort(error)
      }
      timer = setTimeout(() => end(failed(`did not answer within ${this.#timeoutMillis} ms`)), this.#timeoutMillis)
      onAbort = () => end(new StorageError('ABORTED', 'The embedding was aborted', { cause: given?.reason }))
      if (given?.aborted) onAbort()
      else given?.addEventListener('abort', onAbort)
    })
    try {
      if (given?.aborted) return await ended
      // A call that throws at once is a failure like any other.
      const call = (async () => this.#given.embed(texts, { signal: controller.signal, purpose }))()
      return await Promise.race([call, ended])
    } catch (cause) {
      if (cause instanceof StorageError && (cause.code === 'ABORTED' || cause.code === 'EMBEDDING_FAILED')) throw cause
      throw failed('failed', cause)
    } finally {
      clearTimeout(timer)
      if (onAbort) given?.removeEventListener('abort', onAbort)
      ended.catch(() => {}) // nobody may wait for it any more
    }
  }
}

function failed(what: string, cause?: unknown): StorageError<'EMBEDDING_FAILED'> {
  return new StorageError('EMBEDDING_FAILED', `The embedding model ${what}`, { cause, retryable: true })
}
