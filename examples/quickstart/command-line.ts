import { type FileHandle, open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** The chats and the configuration, as absolute paths: those given, else those beside this file. */
export function readArguments(): { file: string; config: string } {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { config: { type: 'string' } } })
  if (positionals.length > 1) throw new Error('One file at a time, please.')
  const beside = (name: string) => fileURLToPath(new URL(name, import.meta.url))
  // npm runs scripts in the package's directory; INIT_CWD is where the user typed the path.
  const given = (path: string | undefined) => path && resolve(process.env.INIT_CWD ?? '', path)
  return {
    file: given(positionals[0]) ?? beside('conversations.jsonl'),
    config: given(values.config) ?? beside('agent.yml'),
  }
}

/** Opens a file to read it; an `Error` says in words why it cannot. */
export async function openFile(path: string): Promise<FileHandle> {
  const found = await stat(path).catch(() => undefined)
  if (!found) throw new Error(`Cannot read ${path}: no such file`)
  if (found.isDirectory()) throw new Error(`Cannot read ${path}: it is a directory`)
  return open(path)
}

/** Set once the user wants the program to end. */
export interface Stop {
  signal?: 'SIGINT' | 'SIGTERM'
}

/** Ctrl-C and `kill` no longer end the program, they ask it to. Under npm Ctrl-C arrives twice. */
export function stopOnSignal(): Stop {
  const stop: Stop = {}
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stop.signal ??= signal
    })
  }
  return stop
}
