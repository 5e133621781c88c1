import type { Command, Option } from './command.ts'

const CONFIGURATION: readonly Option[] = [
  {
    name: 'config',
    value: 'FILE',
    summary: 'The configuration. Default: $HOLDFAST_CONFIG, else the nearest agent.yml in this directory or above.',
  },
  {
    name: 'database',
    value: 'DATABASE',
    summary: 'A database instead of a configuration: a postgres:// url, or the path of an SQLite file.',
  },
  { name: 'blobs', value: 'DIR', summary: 'With --database: the directory of its blob store.' },
]

const OUTPUT: readonly Option[] = [
  { name: 'json', summary: 'Prints JSON: one object, or for lists an object a line.' },
  { name: 'quiet', summary: 'Prints no progress and no notes.' },
  { name: 'yes', summary: 'Does not ask before something is removed.' },
  { name: 'help', summary: 'Explains the command.' },
]

/** Returns the options that a command takes: its own, those of the configuration, and those of every command. */
export function optionsOf(command: Command): readonly Option[] {
  return [...(command.options ?? []), ...sharedOptionsOf(command)]
}

/** Returns the options that a command has in common with others. */
export function sharedOptionsOf({ isOffline = false }: Pick<Command, 'isOffline'>): readonly Option[] {
  return isOffline ? OUTPUT : [...CONFIGURATION, ...OUTPUT]
}

/** The option of a command that works on what one owner has. */
export const OWNER: Option = { name: 'owner', value: 'ID', summary: 'Only what this owner has.' }

/** The option of a list. */
export const LIMIT: Option = { name: 'limit', value: 'N', summary: 'How many to print. Default 20.' }
