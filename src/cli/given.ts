import { UsageError } from './exit-codes.ts'

/** The arguments and options of one call, read by name. */
export class Given {
  readonly #arguments: ReadonlyMap<string, readonly string[]>
  readonly #options: ReadonlyMap<string, string | true>

  constructor(given: ReadonlyMap<string, readonly string[]>, options: ReadonlyMap<string, string | true>) {
    this.#arguments = given
    this.#options = options
  }

  /** Returns an argument that the command requires. */
  argument(name: string): string {
    const [value] = this.all(name)
    if (value === undefined) throw new UsageError(`${name} is missing`)
    return value
  }

  /** Returns the values of an argument that may be repeated or left out. */
  all(name: string): readonly string[] {
    return this.#arguments.get(name) ?? []
  }

  /** Returns the value of an option, or undefined if it is not given. */
  text(option: string): string | undefined {
    const value = this.#options.get(option)
    return typeof value === 'string' ? value : undefined
  }

  /** Returns true if a switch is given. */
  flag(option: string): boolean {
    return this.#options.has(option)
  }

  /** Returns the value of an option as a whole number from `least`. */
  count(option: string, otherwise: number, least = 1): number {
    const text = this.text(option)
    if (text === undefined) return otherwise
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && Number.isSafeInteger(value)) return value
    throw new UsageError(`--${option} must be a whole number from ${least}`)
  }

  /** Returns the value of an option: the time of an ISO date, or an age such as 7d, which the database counts back from now. */
  instantOrAge(option: string): Date | string | undefined {
    const text = this.text(option)
    if (text === undefined) return undefined
    if (/^\d{1,9}[dhm]$/.test(text)) return text
    const date = new Date(text)
    if (Number.isNaN(date.getTime()) || !beginsWithDay(text)) {
      throw new UsageError(
        `--${option} must be a date such as 2026-01-31 or 2026-01-31T08:00Z, or an age such as 7d, 12h or 30m`,
      )
    }
    return date
  }
}

/** Returns true if a text begins with a day that exists: `Date` takes the 31st of February for the 3rd of March. */
function beginsWithDay(text: string): boolean {
  const [day = ''] = /^\d{4}-\d\d-\d\d/.exec(text) ?? []
  const date = new Date(`${day}T00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day)
}
