import { type FileHandle, open, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** Returns the absolute paths of the chats and the configuration. Default: the files beside this one. */
export function readArguments(): { file: string; config: string } {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { config: { type: 'string' } } })
  if (positionals.length > 1) throw new Error('One file at a time, please.')
  const beside = (name: string) => join(import.meta.dirname, name)
  // npm runs scripts in the package's directory; INIT_CWD is the directory that the user's paths start from.
  const given = (path: string | undefined) => path && resolve(process.env.INIT_CWD ?? '', path)
  return {
    file: given(positionals[0]) ?? beside('conversations.jsonl'),
    config: given(values.config) ?? beside('agent.yml'),
  }
}

/** Opens a file for reading. Throws an Error whose message says why that is not possible. */
export async function openFile(path: string): Promise<FileHandle> {
  const found = await stat(path).catch(() => undefined)
  if (!found) throw new Error(`Cannot read ${path}: no such file`)
  if (found.isDirectory()) throw new Error(`Cannot read ${path}: it is a directory`)
  return open(path)
}

/** The signal that asked the program to stop, if any. */
export interface Stop {
  signal?: 'SIGINT' | 'SIGTERM'
}

/** Makes Ctrl-C and `kill` set `signal` instead of ending the program. Under npm Ctrl-C arrives twice. */
export function stopOnSignal(): Stop {
  const stop: Stop = {}
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stop.signal ??= signal
    })
  }
  return stop
}
