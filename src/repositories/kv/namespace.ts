import * as z from 'zod/mini'
import { invalidInput, keySchema } from '../../validation/input.ts'

// A stored key is the path of its namespace, which is the labels, and the key. The separators sort before every other
// character, so the keys of a namespace are one range, and those of the namespaces below it are the next.

/** Stands between the path and the key. */
export const BEFORE_KEY = '\u0001'
/** Stands between two labels. */
export const BEFORE_LABEL = '\u0002'
/** Begins an escaped character. A path followed by it is greater than everything in the namespace and below. */
export const BEYOND = '\u0003'

const SPECIAL = new RegExp(`[${BEFORE_KEY}${BEFORE_LABEL}${BEYOND}]`, 'g')
const ESCAPED = new RegExp(`${BEYOND}([ABC])`, 'g')

export const labelsSchema = z.array(keySchema).check(z.minLength(1))

/**
 * A namespace of keys: its labels, each below the one before. Without labels it is the root, whose keys are stored as they
 * are.
 */
export class Namespace {
  readonly labels: readonly string[]
  /** Empty for the root. */
  readonly #path: string

  constructor(labels: readonly string[] = []) {
    this.labels = labels
    this.#path = labels.map(escaped).join(BEFORE_LABEL)
  }

  below(labels: readonly string[]): Namespace {
    return new Namespace([...this.labels, ...labels])
  }

  /**
   * Returns the stored key of a valid key.
   *
   * @throws {INVALID_INPUT} when it is too long with its namespace
   */
  stored(key: string): string {
    if (this.labels.length === 0) return key
    const stored = this.#path + BEFORE_KEY + escaped(key)
    if (keySchema.safeParse(stored).success) return stored
    const message = 'is too long: with its namespace and a separator for each label, a key has at most 1024 bytes'
    throw invalidInput([{ path: 'key', message }])
  }

  /** Returns the key of a stored key of this namespace. */
  given(stored: string): string {
    return this.labels.length === 0 ? stored : unescaped(stored.slice(this.#path.length + 1))
  }

  /** Returns what the stored keys of this namespace begin with, if the keys begin with `prefix`. */
  prefix(prefix = ''): string {
    return this.labels.length === 0 ? prefix : this.#path + BEFORE_KEY + escaped(prefix)
  }

  /** Returns the range of the stored keys of this namespace and of those below it. */
  range(): { from?: string; before?: string } {
    if (this.labels.length === 0) return {}
    return { from: this.#path + BEFORE_KEY, before: this.#path + BEYOND }
  }

  /** Returns the namespace of a stored key, as labels below this namespace, and the key. */
  locate(stored: string): { namespace: string[]; key: string } {
    const end = stored.indexOf(BEFORE_KEY)
    if (end === -1) return { namespace: [], key: stored }
    return { namespace: this.relative(stored.slice(0, end)), key: unescaped(stored.slice(end + 1)) }
  }

  /** Returns the labels below this namespace of what stands before the key. */
  relative(path: string): string[] {
    return path.split(BEFORE_LABEL).slice(this.labels.length).map(unescaped)
  }
}

function escaped(text: string): string {
  return text.replace(SPECIAL, (character) => BEYOND + String.fromCharCode(0x40 + character.charCodeAt(0)))
}

function unescaped(text: string): string {
  return text.replace(ESCAPED, (_, letter: string) => String.fromCharCode(letter.charCodeAt(0) - 0x40))
}
