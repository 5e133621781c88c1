import type { Command } from './command.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { nameOf, summaryOf, usageOf } from './help.ts'
import { sharedOptionsOf } from './options.ts'

/** Returns the reference that docs/cli.md ends with: every command with its arguments and options. */
export function referencePage(commands: readonly Command[]): string {
  const shared = table(
    'option',
    sharedOptionsOf({}).map((option) => [`\`${nameOf(option)}\``, summaryOf(option)]),
  )
  const codes = table(
    'exit code',
    EXIT_CODES.map(([code, meaning]) => [String(code), meaning]),
  )
  return [shared, codes, ...commands.map(sectionOf)].join('\n\n')
}

function sectionOf(command: Command): string {
  const given: (readonly [string, string])[] = [
    ...(command.arguments ?? []).map(({ name, summary }) => [`\`${name}\``, summary] as const),
    ...(command.options ?? []).map((option) => [`\`${nameOf(option)}\``, summaryOf(option)] as const),
  ]
  return [
    `### holdfast ${command.name}`,
    `\`\`\`sh\nholdfast ${usageOf(command)}\n\`\`\``,
    [command.summary, command.details ?? ''].join(' ').trim(),
    ...(given.length === 0 ? [] : [table('', given)]),
  ].join('\n\n')
}

function table(title: string, rows: readonly (readonly [string, string])[]): string {
  return [`| ${title} | |`, '|---|---|', ...rows.map((row) => `| ${row.map(escaped).join(' | ')} |`)].join('\n')
}

const escaped = (text: string) => text.replaceAll('|', '\\|')
