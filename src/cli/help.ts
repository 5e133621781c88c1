import type { Command } from './command.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { optionsOf } from './options.ts'
import { inColumns, wrapped } from './text.ts'

/** Returns the text of `holdfast --help`. */
export function overviewText(commands: readonly Command[]): string {
  return [
    'holdfast: the command line of the storage of an agent',
    '',
    'Usage: holdfast COMMAND [OPTIONS]',
    '',
    indented(listOf(commands)),
    '',
    'Exit codes',
    indented(inColumns(EXIT_CODES.map(([code, meaning]) => [String(code), meaning]))),
    '',
    'holdfast COMMAND --help, or holdfast help COMMAND, explains a command.',
  ].join('\n')
}

/** Returns the text of `holdfast GROUP --help`, such as of `sessions`. */
export function groupText(commands: readonly Command[]): string {
  return [
    'Usage',
    ...commands.map((command) => indented(`holdfast ${usageOf(command)}`)),
    '',
    'Commands',
    indented(listOf(commands)),
    '',
    'holdfast COMMAND --help, or holdfast help COMMAND, explains a command.',
  ].join('\n')
}

const listOf = (commands: readonly Command[]) => inColumns(commands.map(({ name, summary }) => [name, summary]))

/** Returns the text of `holdfast COMMAND --help`. */
export function commandText(command: Command): string {
  const given = command.arguments ?? []
  const sections = [
    ['Usage', [`holdfast ${usageOf(command)}`]],
    ['Arguments', described(given.map(({ name, summary }) => [name, summary]))],
    ['Options', described(optionsOf(command).map((option) => [nameOf(option), summaryOf(option)]))],
  ] as const
  return [
    wrapped([command.summary, command.details ?? ''].join(' ').trim()),
    ...sections.flatMap(([title, lines]) => (lines.length === 0 ? [] : ['', title, ...lines.map(indented)])),
  ].join('\n')
}

/** Returns how a command is called, such as `sessions show ID [OPTIONS]`. */
export function usageOf({ name, arguments: given = [] }: Command): string {
  const places = given.map((argument) => {
    const place = `${argument.name}${argument.isRepeated ? '...' : ''}`
    return argument.isOptional ? `[${place}]` : place
  })
  return [name, ...places, '[OPTIONS]'].join(' ')
}

/** Returns an option as it is written, such as `--owner ID`. */
export function nameOf({ name, value }: { name: string; value?: string }): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`
}

/** Returns what an option does, and the values that it takes. */
export function summaryOf({ summary, choices }: { summary: string; choices?: readonly string[] }): string {
  return choices === undefined ? summary : `${summary} One of ${choices.join(', ')}.`
}

/** Lays out names and their sentences, which may take several lines. */
function described(entries: readonly (readonly [name: string, summary: string])[]): string[] {
  const width = Math.max(0, ...entries.map(([name]) => name.length)) + 2
  return entries.map(([name, summary]) => name.padEnd(width) + wrapped(summary, 98, ' '.repeat(width)))
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
