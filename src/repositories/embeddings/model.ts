import * as z from 'zod/mini'
import { StorageError } from '../../errors.ts'
import { hashOfText, normalised, problemOf } from '../../search/vectors.ts'
import { rule } from '../../validation/fast-path.ts'
import { isInteger, millisSchema, textSchema } from '../../validation/input.ts'
import type { EmbedCall, EmbeddingModel } from './types.ts'

const MAX_NAME_LENGTH = 200
const MAX_DIMENSIONS = 8192
/** Maximum length of the key of a model: see `Model.key`. */
export const MAX_KEY_LENGTH = MAX_NAME_LENGTH + `/${MAX_DIMENSIONS}`.length
const MAX_BATCH = 2048
const MAX_CHARACTERS = 1_000_000

function integerSchema(min: number, max: number) {
  return rule<number>(isInteger(min, max), `must be an integer from ${min} to ${max}`)
}

export const embeddingSchema = z.strictObject({
  model: textSchema({ min: 1, max: MAX_NAME_LENGTH }),
  dimensions: integerSchema(1, MAX_DIMENSIONS),
  embed: rule<EmbeddingModel['embed']>((value) => typeof value === 'function', 'must be a function'),
  batchSize: z.optional(integerSchema(1, MAX_BATCH)),
  timeoutMillis: z.optional(millisSchema),
  maxCharacters: z.optional(integerSchema(1, MAX_CHARACTERS)),
})

/** A stored text, prepared for the model. */
export interface EmbeddedText {
  /** What the model gets of the text. Empty if there is nothing to embed. */
  text: string
  /** The hash of the whole text. */
  textHash: string
}

/** The program's model, with a time limit and checks of its answers. */
export class Model {
  /** The name and the dimensions of the model, `<name>/<dimensions>`, by which the tables know the model. */
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

  /** Prepares a stored text for the model. */
  textOf(stored: string): EmbeddedText {
    const text = stored.slice(0, this.#maxCharacters).toWellFormed().trim()
    return { text, textHash: hashOfText(stored) }
  }

  /**
   * Returns the vectors of texts, each scaled to length 1. No text may be empty.
   *
   * @throws {EMBEDDING_FAILED} when the model rejects, takes too long, or does not return a valid vector for each text
   * @throws {ABORTED} when `signal` is aborted
   */
  async embed(texts: readonly string[], purpose: EmbedCall['purpose'], signal?: AbortSignal): Promise<Float32Array[]> {
    const answer = await this.#answer([...texts], purpose, signal)
    const found: unknown = Reflect.get(Object(answer), 'length')
    if (!Array.isArray(answer) || found !== texts.length) {
      throw failed(`answered with ${Array.isArray(answer) ? found : 'no list'} instead of ${texts.length} vectors`)
    }
    // Not answer.map(), which passes over the holes of an array that was not filled.
    return Array.from(answer, (vector: unknown) => {
      const problem = problemOf(vector, this.dimensions)
      if (problem !== undefined) throw failed(`answered with a vector that ${problem}`)
      return normalised(vector as ArrayLike<number>) // it has no problem
    })
  }

  async #answer(texts: string[], purpose: EmbedCall['purpose'], signal: AbortSignal | undefined): Promise<unknown> {
    const controller = new AbortController()
    let timer: NodeJS.Timeout | undefined
    let onAbort: (() => void) | undefined
    const ended = new Promise<never>((_, reject) => {
      const end = (error: StorageError) => {
        reject(error)
        controller.abort(error)
      }
      timer = setTimeout(() => end(failed(`did not answer within ${this.#timeoutMillis} ms`)), this.#timeoutMillis)
      onAbort = () => end(new StorageError('ABORTED', 'The embedding was aborted', { cause: signal?.reason }))
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort)
    })
    try {
      if (signal?.aborted) return await ended
      // The async function turns an error that is thrown at once into a rejection.
      const call = (async () => this.#given.embed(texts, { signal: controller.signal, purpose }))()
      return await Promise.race([call, ended])
    } catch (cause) {
      if (cause instanceof StorageError && (cause.code === 'ABORTED' || cause.code === 'EMBEDDING_FAILED')) throw cause
      throw failed('failed', cause)
    } finally {
      clearTimeout(timer)
      if (onAbort) signal?.removeEventListener('abort', onAbort)
      ended.catch(() => {}) // it may still reject, when nobody waits for it any more
    }
  }
}

function failed(what: string, cause?: unknown): StorageError<'EMBEDDING_FAILED'> {
  return new StorageError('EMBEDDING_FAILED', `The embedding model ${what}`, { cause, retryable: true })
}
