import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { loadStorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'

const root = resolve(import.meta.dirname, '../..')
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
]

/** The fenced blocks of a page in one language, with the line each begins at. */
function blocks(page: string, language: string): { line: number; code: string }[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    code: match[1] ?? '',
  }))
}

/** Runs a program as a user's project would: 'holdfast' and its peers are there, the directory is empty. */
async function run(code: string): Promise<void> {
  const directory = freshDirectory()
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}')
  writeFileSync(join(directory, 'example.ts'), code)
  const env = { ...process.env, TSX_TSCONFIG_PATH: join(root, 'tsconfig.json') }
  await promisify(execFile)(process.execPath, ['--import', 'tsx', 'example.ts'], {
    cwd: directory,
    env,
    timeout: 25_000,
  })
}

// docs/repositories.md has fragments that follow each other; its own test runs them as one program.
const programs = pages
  .filter((page) => page !== 'docs/repositories.md')
  .flatMap((page) => blocks(page, 'ts').map(({ line, code }) => ({ at: `${page}:${line}`, code })))

it.each(programs)('the program of $at runs', ({ code }) => run(code))

it('README.md has programs, and a configuration that loads', async () => {
  expect(blocks('README.md', 'ts').length).toBeGreaterThan(1)
  const [example] = blocks('README.md', 'yaml')
  const file = join(freshDirectory(), 'agent.yml')
  writeFileSync(file, example?.code ?? '')
  const env = { REDIS_URL: 'redis://cache', POSTGRES_CONNECTION_STRING: 'postgres://user:secret@db/agent' }
  expect(await loadStorageConfig(file, { env })).toMatchObject({ cache: { url: 'redis://cache' } })
})

it('every link between pages leads somewhere', () => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8')
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1] ?? '')
    expect(links.filter((link) => !existsSync(join(root, page, '..', link)))).toEqual([])
  }
})
