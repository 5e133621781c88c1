import type { Command } from '../command.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { optionsOf } from '../options.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** Makes the command that prints the completion of the others. */
export function completionOf(commands: readonly Command[]): Command {
  return {
    name: 'completion',
    summary: 'Prints the completion for a shell.',
    details:
      'bash: eval "$(holdfast completion bash)". zsh: eval "$(holdfast completion zsh)". fish: holdfast completion fish | source.',
    arguments: [{ name: 'SHELL', summary: `One of ${SHELLS.join(', ')}.` }],
    isOffline: true,
    async run({ given, output }) {
      const wanted = given.argument('SHELL')
      const shell = SHELLS.find((name) => name === wanted)
      if (shell === undefined) throw new UsageError(`SHELL must be one of ${SHELLS.join(', ')}`)
      const script = completionScript(shell, commands)
      await output.print(script.trimEnd(), { shell, script })
      return EXIT.ok
    },
  }
}

/** Returns a script that completes words, options, and after options that take a file the names of files. */
export function completionScript(shell: Shell, commands: readonly Command[]): string {
  return shell === 'fish' ? fishScript(commands) : bashScript(commands, shell)
}

/** Completion of zsh, unless it is there, and the functions of bash. */
const FOR_ZSH = `typeset -f compdef > /dev/null || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
`

function bashScript(commands: readonly Command[], shell: 'bash' | 'zsh'): string {
  const casesOf = (wordCount: number) =>
    commands
      .filter(({ name }) => name.split(' ').length === wordCount)
      .map((command) => {
        const options = optionsOf(command).map(({ name }) => `--${name}`)
        return `    "${command.name}") words="${options.join(' ')}" ;;`
      })
      .join('\n')
  const groups = groupsOf(commands)
  const groupCases = Object.entries(groups).map(
    ([group, words]) => `    "${group} "*|"${group}") [ "$COMP_CWORD" -eq 2 ] && words="$words ${words.join(' ')}" ;;`,
  )
  return `${shell === 'zsh' ? FOR_ZSH : ''}_holdfast() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  local one="\${COMP_WORDS[1]}" two="\${COMP_WORDS[1]} \${COMP_WORDS[2]}"
  case "$before" in
    --config|--database|--blobs) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${firstWords(commands).join(' ')}" -- "$word")); return
  fi
  case "$one" in
${casesOf(1)}
  esac
  case "$two" in
${casesOf(2)}
${groupCases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word") $(compgen -f -- "$word"))
}
complete -F _holdfast holdfast
`
}

function fishScript(commands: readonly Command[]): string {
  const lines = ['complete -c holdfast -f']
  for (const word of firstWords(commands)) {
    const command = commands.find(({ name }) => name === word)
    lines.push(`complete -c holdfast -n __fish_use_subcommand -a ${word} -d ${quoted(command?.summary ?? '')}`)
  }
  for (const [group, words] of Object.entries(groupsOf(commands))) {
    lines.push(`complete -c holdfast -n '__fish_seen_subcommand_from ${group}' -a '${words.join(' ')}'`)
  }
  for (const command of commands) {
    const seen = command.name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ')
    for (const { name, value, summary, choices } of optionsOf(command)) {
      const takes = value === undefined ? '' : choices ? ` -x -a '${choices.join(' ')}'` : ' -r -F'
      lines.push(`complete -c holdfast -n '${seen}' -l ${name}${takes} -d ${quoted(summary)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`

function firstWords(commands: readonly Command[]): string[] {
  return [...new Set(commands.map(({ name }) => name.replace(/ .*/, ''))), 'completion']
}

/** Returns the second words of each group. */
function groupsOf(commands: readonly Command[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {}
  for (const { name } of commands) {
    const [group = '', word] = name.split(' ')
    if (word !== undefined) groups[group] = [...(groups[group] ?? []), word]
  }
  return groups
}
