import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, cpSync, symlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { afterEach, beforeAll } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { adopt } from '../setup/temporary.ts'

const root = resolve(import.meta.dirname, '../..')

/** Leaves Studio in a file of its own, as scripts/build.ts does: its page is beside that file. */
const studioApart: Plugin = {
  name: 'studio-apart',
  setup({ onResolve }) {
    onResolve({ filter: /\.\.\/studio\/index\.ts$/ }, () => ({ path: '../studio/index.js', external: true }))
  },
}

/** The command line, built as it is published. */
let program = ''

beforeAll(async () => {
  const directory = freshDirectory()
  program = join(directory, 'dist/cli/holdfast.js')
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const common = {
    outdir: join(directory, 'dist'),
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    external: ['better-sqlite3', 'postgres', 'ioredis', 'yaml', 'file-type', 'mime'], // as in scripts/build.ts
    logLevel: 'silent',
  } satisfies BuildOptions
  const studio = join(root, 'src/studio')
  await build({
    ...common,
    entryPoints: { 'cli/holdfast': join(root, 'src/cli/holdfast.ts'), 'studio/index': join(studio, 'index.ts') },
    plugins: [studioApart],
  })
  cpSync(join(studio, 'page'), join(directory, 'dist/studio/page'), { recursive: true })
})

export interface RunOptions {
  /** Default: a new empty directory. */
  cwd?: string
  env?: Record<string, string>
  /** What stdin holds. Default: nothing. */
  input?: string
  /** A path that is opened as stdin, instead of `input`. */
  stdin?: string
  /** How large a file may become that the command writes, in blocks of 512 bytes: `ulimit -f`. */
  fileBlocks?: number
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

const started: ChildProcess[] = []

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

/** Starts the command line in a child process, which is killed when the test ends. */
export function start(args: readonly string[], options: RunOptions = {}) {
  const { cwd = freshDirectory(), env = {}, fileBlocks, stdin } = options
  const limit = fileBlocks === undefined ? '' : `ulimit -f ${fileBlocks}; `
  const from = stdin === undefined ? '' : ' < "$STDIN"'
  const child = spawn('/bin/sh', ['-c', `${limit}exec "$0" "$@"${from}`, process.execPath, program, ...args], {
    cwd,
    env: { ...process.env, HOLDFAST_CONFIG: '', STDIN: stdin, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  started.push(child)
  adopt(child)
  child.stdin.on('error', () => {}) // a command that reads nothing may end first
  return child
}

/** Runs the command line to its end. */
export async function holdfast(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = start(args, options)
  child.stdin.end(options.input ?? '')
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code, stdout, stderr }
}

/** Returns the variables of a process whose clock is ahead. */
export function clockAhead(millis: number): Record<string, string> {
  const shift = join(freshDirectory(), 'shift.mjs')
  writeFileSync(
    shift,
    `const real = Date; const by = ${millis}
     globalThis.Date = class extends real {
       constructor(...args) { super(...(args.length === 0 ? [real.now() + by] : args)) }
       static now() { return real.now() + by }
     }`,
  )
  return { NODE_OPTIONS: `--import ${shift}` }
}

/** Runs the command line with a file as its stdout. */
export async function intoFile(args: readonly string[], file: string, cwd: string): Promise<Omit<Ended, 'stdout'>> {
  const output = await open(file, 'w')
  const child = spawn(process.execPath, [program, ...args], { cwd, stdio: ['ignore', output.fd, 'pipe'] })
  started.push(child)
  adopt(child)
  await output.close()
  const [stderr, [code]] = await Promise.all([text(child.stderr as Readable), once(child, 'close')]) // a pipe, as stdio says
  return { code, stderr }
}

/**
 * Starts a command, and sends a signal as soon as the command is at work. Returns its exit code, or the signal that ended it, and
 * what it has written to stderr.
 */
export async function interrupted(
  args: readonly string[],
  cwd: string,
  isAtWork: () => boolean | Promise<boolean>,
  signal: NodeJS.Signals = 'SIGINT',
) {
  const child = start(args, { cwd })
  child.stdout.resume()
  const closed = Promise.all([text(child.stderr), once(child, 'close')])
  while (!(await isAtWork()) && child.exitCode === null) await sleep(2)
  child.kill(signal)
  const [stderr, [code, ending]] = await closed
  return { code: code ?? ending, stderr }
}

/** Runs the command line with `--json` and returns the objects that it prints. */
export async function objects(args: readonly string[], options: RunOptions = {}): Promise<Record<string, unknown>[]> {
  const { stdout, stderr, code } = await holdfast([...args, '--json'], options)
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
}

/** Runs the command line on a terminal. Returns what the terminal shows, and the exit code. `input` answers a question. */
export async function onTerminal(
  args: readonly string[],
  { cwd = freshDirectory(), env = {}, input }: RunOptions = {},
) {
  const quoted = [process.execPath, program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const child = spawn('script', ['-qefc', quoted, '/dev/null'], {
    cwd,
    env: { ...process.env, HOLDFAST_CONFIG: '', TERM: 'xterm', PAGER: 'cat', NO_COLOR: '', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  started.push(child)
  adopt(child)
  child.stdout.on('data', (chunk) => {
    if (input !== undefined && String(chunk).includes('[y/N]')) child.stdin.write(input)
  })
  const [shown, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  return { shown, code }
}
