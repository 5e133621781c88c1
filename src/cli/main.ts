import { createInterface } from 'node:readline/promises'
import { codeOf } from '../caught.ts'
import { isStorageError, type Logger, migrateStorage, openStorage, type Storage } from '../index.ts'
import type { Call, Command } from './command.ts'
import { COMMANDS } from './commands.ts'
import { type Configuration, completed, findConfiguration, forReading, namedConfiguration } from './configuration.ts'
import { EXIT, exitCodeOf, OutputError, Refusal, UsageError } from './exit-codes.ts'
import type { Given } from './given.ts'
import { commandText, groupText, overviewText } from './help.ts'
import { Output } from './output.ts'
import { findCommand, findGroup, namesIn, parseGiven } from './parse.ts'
import { printable } from './text.ts'
import { version } from './version.ts'

/** SIGHUP comes when a terminal or an SSH connection ends. Node does not ignore it under nohup either. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** What surrounds a command: where its output goes, and what ends it. */
type Surroundings = Pick<Call, 'output' | 'signal' | 'onClosedPipe'>

/** Runs one command line. Returns its exit code. */
export async function main(words: readonly string[]): Promise<number> {
  const ending = new AbortController()
  let code: number | undefined
  const end = (exitCode: number) => {
    // A second signal does not wait for the end of a batch.
    if (ending.signal.aborted) process.exit(exitCode)
    code = exitCode
    ending.abort()
  }
  for (const [signal, exitCode] of Object.entries(SIGNALS)) process.on(signal, () => end(exitCode))
  const onClosedPipe = () => {
    code ??= EXIT.ok
    ending.abort()
  }
  process.stdout.on('error', (error) => {
    if (codeOf(error) === 'EPIPE') return onClosedPipe()
    if (code === undefined) process.stderr.write(`${errorText(new OutputError(error.message), isJson)}\n`)
    code ??= EXIT.failed
    ending.abort()
  })
  process.stderr.on('error', () => {})
  const isJson = words.includes('--json')
  const output = new Output(process, { json: isJson, quiet: words.includes('--quiet') })
  let found: number
  try {
    found = await runWords(words, { output, signal: ending.signal, onClosedPipe })
  } catch (error) {
    if (code === undefined) process.stderr.write(`${errorText(error, isJson)}\n`)
    else if (Object.values<number>(SIGNALS).includes(code)) output.note('Interrupted: what was done until now stays.')
    found = exitCodeOf(error)
  }
  await output.end()
  return code ?? found
}

/** Runs the command that the words name. */
async function runWords(given: readonly string[], surroundings: Surroundings): Promise<number> {
  const { output } = surroundings
  const words = given[0] === 'help' ? given.slice(1) : given
  const asksForHelp = words !== given || words.includes('--help') || words.includes('-h')
  const isEmpty = namesIn(words).length === 0
  if (isEmpty && words.includes('--version')) {
    await output.print(version, { version })
    return EXIT.ok
  }
  if (isEmpty) {
    const overview = overviewText(COMMANDS)
    if (asksForHelp) await output.write(`${overview}\n`)
    else throw new UsageError(`there is no command\n\n${overview}`)
    return EXIT.ok
  }
  const group = asksForHelp ? findGroup(words, COMMANDS) : []
  if (group.length > 0) {
    await output.write(`${groupText(group)}\n`)
    return EXIT.ok
  }
  const { command, rest } = findCommand(words, COMMANDS)
  if (asksForHelp) {
    await output.write(`${commandText(command)}\n`)
    return EXIT.ok
  }
  return runCommand(command, parseGiven(command, rest), surroundings)
}

interface OpenOptions {
  migrate?: boolean | undefined
  needsBlobs: boolean
  makesStore: boolean
  readonly?: boolean | undefined
}

async function runCommand(command: Command, given: Given, surroundings: Surroundings): Promise<number> {
  const { output, signal } = surroundings
  const opened: Storage[] = []
  let found: Promise<Configuration> | undefined
  const configuration = () => (found ??= findConfiguration(given, { env: process.env, cwd: process.cwd() }))
  const open = async (found: Configuration, { migrate = false, readonly = false, ...blobs }: OpenOptions) => {
    if (migrate) await migrateStorage(found.config)
    const complete = await completed(found, blobs)
    const config = readonly ? forReading(complete) : complete
    const options = { migrate: false, maintenance: false, operator: true, logger: loggerFor(output) }
    const storage = await openStorage(config, options)
    opened.push(storage)
    return storage
  }
  const call: Call = {
    ...surroundings,
    given,
    configuration,
    open: async ({ readonly } = {}) => {
      const { needsBlobs = false, makesStore = false } = command
      return open(await configuration(), { readonly, needsBlobs, makesStore })
    },
    openNamed: async (place, { migrate }) =>
      open(await namedConfiguration(place), { migrate, needsBlobs: true, makesStore: true }),
    confirm: (question) => confirm(question, given, signal),
  }
  try {
    return (await command.run(call)) ?? EXIT.ok
  } finally {
    for (const storage of opened) await storage.close()
  }
}

/** Asks the user on the terminal. */
async function confirm(question: string, given: Given, signal: AbortSignal): Promise<void> {
  if (given.flag('yes')) return
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(`${question} Give --yes if so: nobody can be asked`)
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  asking.on('SIGINT', () => process.kill(process.pid, 'SIGINT')) // the terminal sends none while readline reads
  const withoutAnswer = (error: unknown) => {
    if (signal.aborted) throw error
    return '' // Ctrl-D
  }
  try {
    const answer = await asking.question(`${question} [y/N] `, { signal }).catch(withoutAnswer)
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new Refusal('nothing was done')
  } finally {
    asking.close()
  }
}

/** Warnings of the storage are notes, but for the warning of programs that run for long. */
function loggerFor(output: Output): Logger {
  const note: Logger['warn'] = (message, details) => {
    if (details?.code !== 'CACHE_PER_INSTANCE') output.note(printable(message))
  }
  return { info: () => {}, warn: note, error: note }
}

/** Codes of errors that are made here, and say all that there is in their message. */
const OWN_CODES = new Set(['USAGE', 'REFUSED', 'OUTPUT'])

function errorText(error: unknown, isJson: boolean): string {
  const { code, message, details } = described(error)
  if (isJson) return JSON.stringify({ error: { code, message, ...(details !== undefined && { details }) } })
  return `holdfast: ${OWN_CODES.has(code) ? '' : `${code}: `}${printable(message)}`
}

function described(error: unknown): { code: string; message: string; details?: unknown } {
  if (isStorageError(error)) return { code: error.code, message: error.message, details: error.details }
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message }
  if (error instanceof Refusal) return { code: 'REFUSED', message: error.message }
  if (error instanceof OutputError) return { code: 'OUTPUT', message: `the output cannot be written: ${error.message}` }
  return { code: 'UNEXPECTED', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}
