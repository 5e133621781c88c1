import { Refusal } from './responses.ts'

/** The parameters of a request, read by name. The repositories check what they mean. */
export class Parameters {
  readonly #given: URLSearchParams

  constructor(given: URLSearchParams) {
    this.#given = given
  }

  /** Returns a text, or undefined if it is absent or empty. */
  text(name: string): string | undefined {
    return this.#given.get(name) || undefined
  }

  /** Returns a text that the request must have. */
  required(name: string): string {
    const text = this.text(name)
    if (text === undefined) throw new Refusal(400, 'INVALID_INPUT', `The parameter ${name} is missing`)
    return text
  }

  /** Returns a whole number from 0 to `most`, or undefined if it is absent. */
  count(name: string, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (/^\d{1,16}$/.test(text) && value <= most) return value
    throw new Refusal(400, 'INVALID_INPUT', `The parameter ${name} must be a whole number from 0 to ${most}`)
  }

  /** Returns one of the values that there are, or undefined if it is absent. */
  choice<const Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = values.find((candidate) => candidate === text)
    if (value !== undefined) return value
    throw new Refusal(400, 'INVALID_INPUT', `The parameter ${name} must be one of ${values.join(', ')}`)
  }

  /** Returns the place in a list. A page has at most 100 items. */
  get page(): { limit: number; cursor: string | undefined } {
    return { limit: this.count('limit', MAX_ITEMS) ?? DEFAULT_ITEMS, cursor: this.text('cursor') }
  }
}

const MAX_ITEMS = 100
const DEFAULT_ITEMS = 30
