import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { afterEach } from 'vitest'
import { adopt } from './temporary.ts'

export interface ScriptOptions {
  env?: Record<string, string>
  /** Further arguments of node, before the file. */
  nodeArgs?: string[]
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
 * Runs a TypeScript file (a path from the project's root) in a process of its own that prints one JSON message a line.
 * It is killed when the test ends that runs it.
 */
export function runScript<Message = unknown>(file: string, args: string[] = [], options: ScriptOptions = {}) {
  const script = new Script<Message>(file, args, options)
  started.push(script)
  return script
}

/** A running script: its messages, the way to talk to it, and its end. */
export class Script<Message> {
  /** Everything it has said so far. */
  readonly messages: Message[] = []
  /** Resolves when it has ended, however it did, and all that it said has been read. */
  readonly exit: Promise<Exit>
  readonly #name: string
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #news = new EventEmitter()
  #ended = false
  #read = 0
  #output = ''

  constructor(file: string, args: string[], { env = {}, nodeArgs = [] }: ScriptOptions) {
    this.#name = [file, ...args].join(' ')
    this.#process = spawn(process.execPath, ['--import', 'tsx', ...nodeArgs, file, ...args], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    adopt(this.#process)
    this.#process.stdin.on('error', () => {}) // it may end before it reads what it is sent
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

  /** The next message that is accepted; those before it are passed over. Fails if the script ends without it. */
  async next(accept: (message: Message) => boolean = () => true, timeoutMillis = 60_000): Promise<Message> {
    const signal = AbortSignal.timeout(timeoutMillis)
    for (;;) {
      for (const message of this.messages.slice(this.#read)) {
        this.#read += 1
        if (accept(message)) return message
      }
      if (this.#ended) throw this.#failure('ended before the message came')
      await once(this.#news, 'news', { signal }).catch(() => {
        throw this.#failure(`did not say it within ${timeoutMillis} ms`)
      })
    }
  }

  /** All messages, once it has ended by itself with exit code 0; fails with what it printed if it ended otherwise. */
  async finished(): Promise<Message[]> {
    const { code, signal } = await this.exit
    if (code !== 0) throw this.#failure(`ended with ${signal ?? `exit code ${code}`}`)
    return this.messages
  }

  /** Writes a message, as a line of JSON, to its standard input. */
  send(message: unknown): void {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`)
  }

  /** What it printed that is no message, standard error included. */
  get output(): string {
    return this.#output
  }

  /** Ends it, by SIGKILL if not said otherwise; nothing happens if it has ended already. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#process.kill(signal)
    return this.exit
  }

  #receive(line: string): void {
    try {
      // The test that names the type wrote both ends.
      this.messages.push(JSON.parse(line) as Message)
      this.#news.emit('news')
    } catch {
      this.#output += `${line}\n`
    }
  }

  #failure(what: string): Error {
    return new Error(`${this.#name} ${what}\n${this.#output.slice(-4000)}`)
  }
}
