import { parseArgs } from 'node:util'
import { edits } from '../config/suggestions.ts'
import type { Argument, Command, Option } from './command.ts'
import { UsageError } from './exit-codes.ts'
import { Given } from './given.ts'
import { optionsOf, sharedOptionsOf } from './options.ts'

const TAKES_VALUE = new Set(
  sharedOptionsOf({}).flatMap(({ name, value }) => (value === undefined ? [] : [`--${name}`])),
)

/** Returns the command that the first words name, and the words that follow it. */
export function findCommand(
  words: readonly string[],
  commands: readonly Command[],
): { command: Command; rest: readonly string[] } {
  const named = namesIn(words)
  const [first = '', second = ''] = named
  if (first === '') throw new UsageError('there is no command. See holdfast --help')
  for (const [name, length] of [
    [`${first} ${second}`, 2],
    [first, 1],
  ] as const) {
    const command = commands.find((candidate) => candidate.name === name)
    if (command) return { command, rest: without(words, named.slice(0, length)) }
  }
  const group = groupOf(first, commands).map(({ name }) => name)
  if (group.length > 0) {
    const wanted = second === '' ? '' : nearestOf(`${first} ${second}`, group)
    throw new UsageError(
      wanted === '' ? `${first} what? There are: ${group.join(', ')}` : unknown(`${first} ${second}`, wanted),
    )
  }
  throw new UsageError(
    unknown(
      first,
      nearestOf(
        first,
        commands.map(({ name }) => name),
      ),
    ),
  )
}

/** Returns the commands of the group that the words name without a command of it: `sessions`. Returns none if they name none. */
export function findGroup(words: readonly string[], commands: readonly Command[]): readonly Command[] {
  const [first = '', ...others] = namesIn(words)
  return others.length > 0 || commands.some(({ name }) => name === first) ? [] : groupOf(first, commands)
}

const groupOf = (first: string, commands: readonly Command[]) =>
  commands.filter(({ name }) => name.startsWith(`${first} `))

/** Returns the words that are no options. The options that every command has may stand before the command, with their values. */
export function namesIn(words: readonly string[]): string[] {
  return words.filter((word, i) => !word.startsWith('-') && !TAKES_VALUE.has(words[i - 1] ?? ''))
}

/** Removes the first occurrence of each word. */
function without(words: readonly string[], removed: readonly string[]): string[] {
  const left = [...words]
  for (const word of removed) left.splice(left.indexOf(word), 1)
  return left
}

const unknown = (word: string, nearest: string) =>
  `there is no command ${JSON.stringify(word)}${nearest === '' ? '.' : `; did you mean "${nearest}"?`} See holdfast --help`

/** Returns the candidate with the fewest edits, or an empty string if none is near. */
export function nearestOf(word: string, candidates: readonly string[]): string {
  const [nearest] = candidates.toSorted((a, b) => edits(word, a) - edits(word, b))
  if (nearest === undefined) return ''
  const count = edits(word, nearest)
  return count < word.length && count <= Math.max(2, word.length / 3) ? nearest : ''
}

/** Reads what follows the name of a command. */
export function parseGiven(command: Command, words: readonly string[]): Given {
  const options = optionsOf(command)
  const known = new Map(options.map((option) => [option.name, option]))
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      options.map(({ name, value }) => [
        name,
        { type: value === undefined ? ('boolean' as const) : ('string' as const) },
      ]),
    ),
    strict: false, // the messages of the strict parser do not name the nearest option
    allowPositionals: true,
    tokens: true,
  })
  const given = new Map<string, string | true>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind === 'option') {
      const isNext = token.inlineValue === false && options.some(({ name }) => token.value === `--${name}`)
      const value = isNext ? undefined : token.value // the next option, where a value is missing
      given.set(token.name, checkedValue(token.rawName, known.get(token.name), value, options))
    }
  }
  return new Given(placed(command, positionals), given)
}

function checkedValue(
  rawName: string,
  option: Option | undefined,
  value: string | undefined,
  options: readonly Option[],
): string | true {
  if (option === undefined) {
    const nearest = nearestOf(
      rawName.replace(/^-+/, ''),
      options.map(({ name }) => name),
    )
    if (nearest !== '') throw new UsageError(`there is no option ${rawName}; did you mean --${nearest}?`)
    throw new UsageError(`there is no option ${rawName}. An argument that begins with - stands after --`)
  }
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`--${option.name} takes no value`)
    return true
  }
  if (value === undefined || value === '') throw new UsageError(`--${option.name} needs a value: ${option.value}`)
  if (option.choices && !option.choices.includes(value)) {
    throw new UsageError(`--${option.name} must be one of ${option.choices.join(', ')}`)
  }
  return value
}

/** Gives each argument of a command what stands at its place. */
function placed({ arguments: named = [] }: Command, values: readonly string[]): Map<string, readonly string[]> {
  const result = new Map<string, readonly string[]>()
  const left = [...values]
  for (const argument of named) {
    const taken = left.splice(0, argument.isRepeated ? left.length : 1)
    if (taken.length === 0 && !argument.isOptional)
      throw new UsageError(`${argument.name} is missing: ${summaryOf(argument)}`)
    result.set(argument.name, taken)
  }
  const [extra] = left
  if (extra !== undefined) {
    const hint = named.length === 0 ? '' : '. Quote an argument that has spaces'
    throw new UsageError(`${JSON.stringify(extra)} is one argument too many${hint}`)
  }
  return result
}

const summaryOf = ({ summary }: Argument) => `${summary.charAt(0).toLowerCase()}${summary.slice(1).replace(/\.$/, '')}`
