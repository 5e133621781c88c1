import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { afterEach } from 'vitest'
import { bundleProgram } from './bundle-program.ts'
import { adopt } from './temporary.ts'

export interface ScriptOptions {
  env?: Record<string, string>
  /** Further arguments of node, before the file. */
  nodeArgs?: string[]
  /** How many files, sockets and pipes the program may have open: `ulimit -n`. */
  openFiles?: number
  /** How large a file may become that the program writes, in blocks of 512 bytes: `ulimit -f`. */
  fileBlocks?: number
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

const started: Script<unknown>[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((script) => script.kill()))
})

/**
 * Runs a TypeScript program, a path from the project's root, in a child process. The program prints messages as lines of
 * JSON. The child process is killed when the test ends.
 */
export function runScript<Message = unknown>(file: string, args: string[] = [], options: ScriptOptions = {}) {
  const script = new Script<Message>(file, args, options)
  started.push(script)
  return script
}

/** A running program: its messages, its input and its end. */
export class Script<Message> {
  /** All messages so far. */
  readonly messages: Message[] = []
  /** Resolves when the program has ended in any way and its output has been read. */
  readonly exit: Promise<Exit>
  readonly #name: string
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #news = new EventEmitter()
  #ended = false
  #read = 0
  #output = ''

  constructor(file: string, args: string[], { env = {}, nodeArgs = [], openFiles, fileBlocks }: ScriptOptions) {
    this.#name = [file, ...args].join(' ')
    const limits = { n: openFiles, f: fileBlocks }
    const limit = Object.entries(limits).map(([name, value]) =>
      value === undefined ? '' : `ulimit -${name} ${value};`,
    )
    const node = [process.execPath, ...nodeArgs, bundleProgram(file), ...args]
    this.#process = spawn('/bin/sh', ['-c', `${limit.join(' ')} exec "$0" "$@"`, ...node], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    adopt(this.#process)
    this.#process.stdin.on('error', () => {}) // the program may end before it reads its input
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
    })
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#receive(line))
    this.exit = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => {
        this.#ended = true
        this.#news.emit('news')
        resolve({ code, signal })
      })
    })
  }

  get pid(): number {
    const { pid } = this.#process
    if (pid === undefined) throw new Error(`${this.#name} did not start`)
    return pid
  }

  /** Returns the next message that is accepted, and skips the messages before it. Rejects if the program ends first. */
  async next(accept: (message: Message) => boolean = () => true, timeoutMillis = 60_000): Promise<Message> {
    const signal = AbortSignal.timeout(timeoutMillis)
    for (;;) {
      for (const message of this.messages.slice(this.#read)) {
        this.#read += 1
        if (accept(message)) return message
      }
      if (this.#ended) throw this.#failure('ended before the message came')
      await once(this.#news, 'news', { signal }).catch(() => {
        throw this.#failure(`did not send the message within ${timeoutMillis} ms`)
      })
    }
  }

  /** Waits for the program to end and returns all messages. Rejects, with its output, if its exit code is not 0. */
  async finished(): Promise<Message[]> {
    const { code, signal } = await this.exit
    if (code !== 0) throw this.#failure(`ended with ${signal ?? `exit code ${code}`}`)
    return this.messages
  }

  /** Writes a message, as a line of JSON, to the standard input of the program. */
  send(message: unknown): void {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`)
  }

  /** Ends the standard input of the program. */
  end(): void {
    this.#process.stdin.end()
  }

  /** The lines that are not messages, and standard error. */
  get output(): string {
    return this.#output
  }

  /** Sends a signal, by default SIGKILL, and waits for the end. Does nothing if the program has ended. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#process.kill(signal)
    return this.exit
  }

  #receive(line: string): void {
    try {
      this.messages.push(JSON.parse(line) as Message) // the test that names the type has written the program too
      this.#news.emit('news')
    } catch {
      this.#output += `${line}\n`
    }
  }

  #failure(what: string): Error {
    return new Error(`${this.#name} ${what}\n${this.#output.slice(-4000)}`)
  }
}
