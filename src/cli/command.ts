import type { Storage } from '../index.ts'
import type { Configuration } from './configuration.ts'
import type { Given } from './given.ts'
import type { Output } from './output.ts'

/** A value that a command takes at its place, such as `ID`. */
export interface Argument {
  /** As help shows it, in capitals. */
  readonly name: string
  readonly summary: string
  /** True if the command does without it. Default false. */
  readonly isOptional?: boolean
  /** True if the command takes one or more. Default false. */
  readonly isRepeated?: boolean
}

/** A value or a switch that a command takes anywhere, such as `--owner ID`. */
export interface Option {
  /** Without the dashes. */
  readonly name: string
  readonly summary: string
  /** What the value is, as help shows it: `FILE`. Undefined for a switch. */
  readonly value?: string
  /** The values that there are. Undefined: any. */
  readonly choices?: readonly string[]
}

/** What a command is given to work with. */
export interface Call {
  readonly given: Given
  readonly output: Output
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, and when nobody reads the output any more. */
  readonly signal: AbortSignal
  /** Finds and reads the configuration. */
  configuration(): Promise<Configuration>
  /**
   * Opens the configured storage without migrating it. It is closed when the command has ended. With `readonly` an SQLite
   * file is opened for reading only.
   */
  open(options?: { readonly?: boolean }): Promise<Storage>
  /** Opens the storage that a configuration file, a url or an SQLite file names. It is closed when the command has ended. */
  openNamed(place: string, options: { migrate: boolean }): Promise<Storage>
  /** Called when nobody reads the output any more. */
  readonly onClosedPipe: () => void
  /** Returns if the user agrees, or has given `--yes`. Refuses if nobody can be asked. */
  confirm(question: string): Promise<void>
}

/** One command: help, completion and docs/cli.md are made of it. */
export interface Command {
  /** One word, or a group and a word: `sessions ls`. */
  readonly name: string
  /** One line. */
  readonly summary: string
  /** What else a user should know: sentences. */
  readonly details?: string
  readonly arguments?: readonly Argument[]
  readonly options?: readonly Option[]
  /** True if it works on blobs, so that `--database` without `--blobs` may not be enough. Default false. */
  readonly needsBlobs?: boolean
  /** True if it may make the blob store that `--blobs` names. Default false. */
  readonly makesStore?: boolean
  /** True if it needs no configuration: the options of one are not offered. Default false. */
  readonly isOffline?: boolean
  /** Returns the exit code, or undefined for 0. */
  run(call: Call): Promise<number | undefined>
}
