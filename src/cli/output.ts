import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { Progress, type ProgressStream } from './progress.ts'

/** The streams and variables of the process. */
export interface Terminal {
  readonly stdout: Writable & ProgressStream
  readonly stderr: Writable & ProgressStream
  readonly env: NodeJS.ProcessEnv
}

/** The codes of ECMA-48 that begin and end a style. */
const STYLES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const
type Style = keyof typeof STYLES

/** Data goes to stdout, everything else to stderr. */
export class Output {
  /** True if data is printed as JSON. */
  readonly isJson: boolean
  readonly #terminal: Terminal
  readonly #isQuiet: boolean
  #sink: Writable
  #pager: ChildProcess | undefined

  constructor(terminal: Terminal, { json, quiet }: { json: boolean; quiet: boolean }) {
    this.#terminal = terminal
    this.isJson = json
    this.#isQuiet = quiet
    this.#sink = terminal.stdout
  }

  /** Prints lines of data: the text for people, or the value as JSON in a line. */
  async print(text: string, value: unknown): Promise<void> {
    await this.write(`${this.isJson ? JSON.stringify(value) : text}\n`)
  }

  /** Writes to stdout, and waits while its reader is slow. */
  async write(data: string | Uint8Array): Promise<void> {
    if (this.#sink.write(data)) return
    const waiting = new AbortController()
    try {
      // Never waits for a reader that is gone: the error of the pipe ends the command.
      await Promise.race(['drain', 'close'].map((event) => once(this.#sink, event, waiting)))
    } finally {
      waiting.abort() // or the listeners of every write would stay
    }
  }

  /** Writes a note to stderr, unless `--quiet` is given. */
  note(text: string): void {
    if (!this.#isQuiet) this.#terminal.stderr.write(`${text}\n`)
  }

  /** Begins to say how far the command is. */
  progress(unit: string): Progress {
    return new Progress(this.#isQuiet ? { write: () => {} } : this.#terminal.stderr, unit)
  }

  /** Colours a text if stdout is a terminal and NO_COLOR is not set. */
  colour(style: Style, text: string): string {
    const { stdout, env } = this.#terminal
    if (!stdout.isTTY || env.NO_COLOR || this.isJson) return text
    const [begin, end] = STYLES[style]
    return `\u001b[${begin}m${text}\u001b[${end}m`
  }

  /** Sends what follows through $PAGER if stdout is a terminal. `onClosed` is called if the user leaves the pager. */
  async page(onClosed: () => void): Promise<void> {
    const { stdout, env } = this.#terminal
    const command = env.PAGER ?? 'less -FRX'
    if (!stdout.isTTY || this.isJson || command === '' || command === 'cat') return
    if (!isInstalled(command, env)) {
      if (env.PAGER !== undefined) this.note(`The pager ${command} is not installed: set PAGER`)
      return
    }
    const pager = spawn(command, { shell: true, stdio: ['pipe', 'inherit', 'inherit'] })
    pager.stdin.on('error', onClosed)
    this.#pager = pager
    this.#sink = pager.stdin
  }

  /** Waits until everything is written, and until the user has left the pager. */
  async end(): Promise<void> {
    const pager = this.#pager
    if (pager !== undefined) {
      this.#sink.end()
      if (pager.exitCode === null && pager.signalCode === null) await once(pager, 'close')
      return
    }
    const { stdout } = this.#terminal
    // Also if nothing waits: the error of the last write may not have been told yet.
    if (!stdout.destroyed) await new Promise<void>((resolve) => stdout.write('', () => resolve()))
  }
}

/** Returns true if the shell finds the program that the command runs. Images of containers often have no pager. */
function isInstalled(command: string, env: NodeJS.ProcessEnv): boolean {
  const program = command.split(/\s+/).find((word) => word !== '' && !word.includes('='))
  const options = { shell: true, stdio: 'ignore', env: { ...env, PROGRAM: program } } as const
  return spawnSync('command -v "$PROGRAM"', options).status === 0
}
