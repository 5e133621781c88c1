import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { adopt } from './temporary.ts'

const startTimeoutMillis = 60_000

export interface Identity {
  uid: number
  gid: number
}

export interface Command {
  program: string
  args: string[]
  /** The working directory. The server's output goes to the file `log` in it. */
  directory: string
  /** The user that the server runs as. Default: the user of this process. */
  identity?: Identity | undefined
  ready(pid: number): boolean | Promise<boolean>
}

/** A server that runs as a child process and can be started again after its end. */
export class ServerProcess {
  readonly #command: Command
  #child: ChildProcess | undefined

  constructor(command: Command) {
    this.#command = command
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined || !this.#running) throw new Error(`${this.#command.program} is not running`)
    return pid
  }

  get #running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Starts the server and resolves when it is ready. Does nothing if it is running. */
  async start(): Promise<void> {
    if (this.#running) return
    const { program, args, directory, identity, ready } = this.#command
    const log = join(directory, 'log')
    const output = openSync(log, 'a')
    // Detached, so that Ctrl-C does not stop the server before the tests have ended.
    const child = spawn(program, args, {
      cwd: directory,
      detached: true,
      stdio: ['ignore', output, output],
      ...identity,
    })
    closeSync(output)
    await once(child, 'spawn')
    adopt(child)
    this.#child = child
    const pid = this.pid
    const deadline = Date.now() + startTimeoutMillis
    while (this.#running && Date.now() < deadline) {
      if (await ready(pid)) return
      await sleep(10)
    }
    await this.end('SIGKILL')
    throw new Error(`${program} did not become ready:\n${readFileSync(log, 'utf8').slice(-2000)}`)
  }

  /** Sends the signal and resolves when the server has ended. Does nothing if it is not running. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#running || this.#child === undefined) return
    const exit = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exit
  }
}

/**
 * Returns a free port below the range of outgoing connections. While a server on such a port is down, no client gets the
 * port as its own, and no client that tries to connect reaches itself.
 */
export async function freePort(): Promise<number> {
  const port = 12_000 + Math.floor(Math.random() * 18_000)
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
    server.close()
    await once(server, 'close')
    return port
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return freePort()
    throw error
  }
}
