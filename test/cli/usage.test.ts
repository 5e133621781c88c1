import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { commandText } from '../../src/cli/help.ts'
import { optionsOf } from '../../src/cli/options.ts'
import { referencePage } from '../../src/cli/page.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, intoFile, objects, start } from './command-line.ts'

const root = resolve(import.meta.dirname, '../..')

it('docs/cli.md ends with the reference that is made of the table of commands', () => {
  const page = readFileSync(join(root, 'docs/cli.md'), 'utf8')
  expect(page.slice(page.indexOf('## Reference\n'))).toBe(`## Reference\n\n${referencePage(COMMANDS)}\n`)
})

it('--help lists every command, and explains each with all of its options', async () => {
  const { stdout, code } = await holdfast(['--help'])
  expect(code).toBe(0)
  for (const { name } of COMMANDS) expect(stdout).toContain(`\n  ${name} `)
  const help = await holdfast(['sessions', 'show', '--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(await holdfast(['help'])).toEqual({ code: 0, stdout, stderr: '' })
  expect(await holdfast(['help', 'sessions', 'show'])).toEqual(help)
  for (const command of COMMANDS) {
    const text = commandText(command)
    if (command.name === 'sessions show') expect(help.stdout).toBe(`${text}\n`)
    for (const { name } of optionsOf(command)) expect(text).toContain(`  --${name}`)
    for (const { name } of command.arguments ?? []) expect(text).toContain(`\n  ${name}`)
  }
})

it('help of a group lists its commands, also beside the options that every command has', async () => {
  const help = await holdfast(['help', 'sessions'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const { name, summary } of COMMANDS.filter(({ name }) => name.startsWith('sessions '))) {
    expect(help.stdout).toContain(`\n  ${name.padEnd(13)}  ${summary}\n`)
  }
  expect(help.stdout).toContain('holdfast sessions show ID [OPTIONS]')
  for (const words of [
    ['sessions', '--help'],
    ['--database', 'a.db', 'sessions', '-h'],
  ])
    expect(await holdfast(words)).toEqual(help)
  expect((await holdfast(['help', 'migrate'])).stdout).toContain('--dry-run') // a command, and the group of another
  expect(await holdfast(['help', 'mend'])).toMatchObject({ code: 2, stdout: '' })
  expect(await holdfast(['--database', 'a.db', '--help'])).toEqual(await holdfast(['help']))
})

it('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect((await holdfast(['--version'])).stdout).toBe(`${version}\n`)
})

it.each<[args: string[], message: string]>([
  [[], 'there is no command'],
  [['staus'], 'there is no command "staus"; did you mean "status"?'],
  [['sessions'], 'sessions what? There are: sessions ls, sessions show, sessions rm'],
  [['sessions', 'shwo'], 'there is no command "sessions shwo"; did you mean "sessions show"?'],
  [['status', '--jsno'], 'there is no option --jsno; did you mean --json?'],
  [['status', '--config'], '--config needs a value: FILE'],
  [['erase', '--owner', '--dry-run', '--database', 'a.db'], '--owner needs a value: ID'],
  [['tail', '--type', '--once', '--database', 'a.db'], '--type needs a value: TYPE'],
  [['status', '--json=yes'], '--json takes no value'],
  [['status', 'now'], '"now" is one argument too many'],
  [['--config', 'agent.yml'], 'there is no command'],
  [['mend'], 'there is no command "mend". See holdfast --help'],
  [['search', 'two', 'words'], '"words" is one argument too many. Quote an argument that has spaces'],
  [['search', '-word'], 'there is no option -w. An argument that begins with - stands after --'],
  [
    ['status', '--database', 'mysql://me:hidden@db/agent'],
    'mysql:// names no database that Holdfast can use: give postgres:',
  ],
  [['migrate', '--database', 'sqlite:a.db'], 'sqlite: names no database that Holdfast can use: give postgres:'],
  [['copy', '--from', 'redis://cache', '--to', 'a.db', '--yes'], 'redis:// names no database that Holdfast can use'],
  [['blobs', 'put', '/', '--database', 'a.db'], '/ is a directory: name a file'],
  [['sessions', 'show'], 'ID is missing: the id of the session'],
  [['sessions', 'ls', '--limit', 'many', '--database', 'a.db'], '--limit must be a whole number from 1'],
  [['search', 'x', '--in', 'mail', '--database', 'a.db'], '--in must be one of messages, memories, sessions'],
  [['blobs', 'gc', '--older-than', 'soon', '--database', 'a.db'], '--older-than must be a date such as'],
  [['export', 'x', '--since', '2026-02-31', '--database', 'a.db'], '--since must be a date such as'],
  [['export', 'x', '--since', '2026-', '--database', 'a.db'], '--since must be a date such as'],
  [['sessions', 'ls', '--all', '--limit', '5', '--database', 'a.db'], 'give --limit or --all, not both'],
  [['blobs', 'ls', '--limit', '5', '--all', '--database', 'a.db'], 'give --limit or --all, not both'],
  [['blobs', 'verify', '--force', '--database', 'a.db'], '--force goes with --repair'],
  [['status', '--config', 'a.yml', '--database', 'a.db'], 'give --config or --database, not both'],
  [['status', '--blobs', 'b'], '--blobs goes with --database'],
  [['status'], 'there is no configuration. Give --config FILE or --database <url or file>'],
  [['status', '--config', 'none.yml'], 'cannot be read (ENOENT)'],
  [['erase', '--database', 'a.db'], '--owner is missing'],
  [['completion', 'tcsh'], 'SHELL must be one of bash, zsh, fish'],
])('holdfast %j ends with 2, does nothing, and says what would be right', async (args, message) => {
  const cwd = freshDirectory()
  const { code, stdout, stderr } = await holdfast(args, { cwd })
  expect(stderr).toContain(message)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(readdirSync(cwd)).toEqual([])
})

it('the configuration is --config, else HOLDFAST_CONFIG, else the nearest agent.yml', async () => {
  const cwd = freshDirectory()
  const inside = join(cwd, 'a/b')
  mkdirSync(inside, { recursive: true })
  const section = (file: string) => `storage: { database: { type: sqlite, path: ./${file} } }`
  writeFileSync(join(cwd, 'agent.yml'), section('nearest.db'))
  writeFileSync(join(cwd, 'env.yml'), section('env.db'))
  writeFileSync(join(cwd, 'given.yml'), section('given.db'))
  const env = { HOLDFAST_CONFIG: join(cwd, 'env.yml') }
  await holdfast(['migrate'], { cwd: inside })
  expect(readdirSync(cwd).filter((name) => name.endsWith('.db'))).toEqual(['nearest.db'])
  await holdfast(['migrate'], { cwd: inside, env })
  await holdfast(['--config', join(cwd, 'given.yml'), 'migrate'], { cwd: inside, env })
  expect(readdirSync(cwd).filter((name) => name.endsWith('.db'))).toEqual(['env.db', 'given.db', 'nearest.db'])
})

it('a wrong configuration ends with 2, and its error is one line of JSON with --json', async () => {
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), 'storage: { database: { type: mysql } }')
  const { code, stderr } = await holdfast(['status', '--json'], { cwd })
  expect(code).toBe(2)
  expect(JSON.parse(stderr).error).toMatchObject({
    code: 'CONFIG_INVALID',
    details: { problems: [{ path: 'storage.database.type' }] },
  })
})

it('a server that cannot be reached ends with 4', async () => {
  const { code, stderr } = await holdfast(['status', '--database', 'postgres://nobody@127.0.0.1:1/none'])
  expect(stderr).toContain('CONNECTION_FAILED')
  expect(code).toBe(4)
})

it('a session that does not exist ends with 1', async () => {
  const cwd = freshDirectory()
  await holdfast(['migrate', '--database', 'a.db'], { cwd })
  const { code, stderr } = await holdfast(['sessions', 'show', 'none', '--database', 'a.db'], { cwd })
  expect(stderr).toContain('NOT_FOUND: There is no session "none"')
  expect(code).toBe(1)
})

/** Returns a directory in which a.db has a conversation of 5 MB. */
async function withLongChat(): Promise<string> {
  const cwd = freshDirectory()
  await using storage = await openStorage({ database: { type: 'sqlite', path: join(cwd, 'a.db') } })
  const content = 'x'.repeat(10_000)
  for (let i = 0; i < 5; i++) {
    await storage.messages.append(
      'chat',
      Array.from({ length: 100 }, () => ({ role: 'user', content })),
    )
  }
  return cwd
}

it('a slow reader gets everything, and no warning is printed', async () => {
  const cwd = await withLongChat()
  const child = start(['sessions', 'show', 'chat', '--json', '--database', 'a.db'], { cwd })
  const warnings = text(child.stderr)
  let bytes = 0
  for await (const chunk of child.stdout) {
    bytes += chunk.length
    await sleep(2)
  }
  expect(bytes).toBeGreaterThan(5_000_000)
  expect(await warnings).toBe('')
})

it('a reader that closes the pipe ends the command with 0, without a message', async () => {
  const cwd = await withLongChat()
  const child = start(['sessions', 'show', 'chat', '--database', 'a.db'], { cwd })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect(await once(child, 'close')).toEqual([0, null])
  expect(stderr).toBe('')
})

it('bash completes commands, groups, options and files', async () => {
  const { stdout: script } = await holdfast(['completion', 'bash'])
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), '')
  const complete = async (...words: string[]) => {
    const list = words.map((word) => `'${word}'`).join(' ')
    const program = `${script}\nCOMP_WORDS=(holdfast ${list}); COMP_CWORD=${words.length}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await promisify(execFile)('bash', ['-c', program], { cwd })
    return stdout.trim().split('\n')
  }
  expect(await complete('st')).toEqual(['status', 'stats', 'studio'])
  expect(await complete('sessions', 's')).toEqual(['show'])
  expect(await complete('migrate', 's')).toEqual(['status'])
  expect(await complete('sessions', 'show', '--la')).toEqual(['--last'])
  expect(await complete('status', '--js')).toEqual(['--json'])
  expect(await complete('migrate', '--dr')).toEqual(['--dry-run'])
  expect(await complete('migrate', 'status', '--js')).toEqual(['--json'])
  expect(await complete('status', '--config', 'ag')).toEqual(['agent.yml'])
})

it.each(['zsh', 'fish'])('the completion for %s has every command and every option', async (shell) => {
  const { stdout, code } = await holdfast(['completion', shell])
  expect(code).toBe(0)
  for (const command of COMMANDS.slice(0, -1)) {
    for (const word of command.name.split(' ')) expect(stdout).toContain(word)
    for (const { name } of command.options ?? []) expect(stdout).toContain(shell === 'zsh' ? `--${name}` : `-l ${name}`)
  }
})

it('--json prints an object, or for a list an object a line', async () => {
  const cwd = freshDirectory()
  const given = ['--database', 'a.db']
  await holdfast(['migrate', ...given], { cwd })
  const storage = await openStorage({ database: { type: 'sqlite', path: join(cwd, 'a.db') } })
  for (const id of ['a', 'b', 'c']) await storage.sessions.create({ id })
  await storage.close()
  expect(await objects(['sessions', 'ls', ...given], { cwd })).toHaveLength(3)
  expect(await objects(['sessions', 'ls', '--limit', '2', ...given], { cwd })).toHaveLength(2)
  expect(await objects(['status', ...given], { cwd })).toMatchObject([
    { stats: { database: { rows: { sessions: 3 } } } },
  ])
})

it.each(['--help', 'status --database a.db', 'sessions show chat --database a.db'])(
  'holdfast %s ends with 1 and says why when the output cannot be written',
  async (line) => {
    const { code, stderr } = await intoFile(line.split(' '), '/dev/full', await withLongChat())
    expect(stderr).toMatch(/^holdfast: the output cannot be written: ENOSPC.*\n$/)
    expect(code).toBe(1)
  },
)

it('blobs get ends with 1, says why and leaves nothing behind when the file cannot be written', async () => {
  const cwd = freshDirectory()
  const blobs = join(cwd, 'blobs')
  const config: StorageConfig = {
    database: { type: 'sqlite', path: join(cwd, 'a.db') },
    blobStore: { type: 'local', storePath: blobs },
  }
  const storage = await openStorage(config, quiet)
  const { id } = await storage.blobs.put(Buffer.alloc(2_000_000))
  await storage.close()
  const get = ['blobs', 'get', id, 'file', '--database', 'a.db', '--blobs', blobs]
  const { code, stderr } = await holdfast(get, { cwd, fileBlocks: 2000 })
  expect(stderr).toMatch(/^holdfast: the output cannot be written: EFBIG.*\n$/)
  expect(code).toBe(1)
  expect(readdirSync(cwd).filter((name) => name.startsWith('file'))).toEqual([])
})

it('a command on an SQLite file that does not exist names the file', async () => {
  const cwd = freshDirectory()
  const { code, stderr } = await holdfast(['sessions', 'ls', '--database', 'typo.db'], { cwd })
  expect(stderr).toContain(`The database ${join(cwd, 'typo.db')} does not exist`)
  expect(code).toBe(3)
})

it('a file that cannot be there is no database that does not exist yet', async () => {
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'file'), '')
  const ended = await holdfast(['status', '--database', 'file/agent.db'], { cwd })
  expect(ended).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('CONNECTION_FAILED') })
})
