import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import { freshInstallation } from '../setup/built-package.ts'
import { freshDirectory } from '../setup/databases.ts'

export const root = resolve(import.meta.dirname, '../..')

/** The pages for readers, as paths from the root. */
export const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

export function pageText(page: string): string {
  return readFileSync(join(root, page), 'utf8')
}

/** Returns the fenced blocks of a page in one language, with the line at which each begins. */
export function blocks(page: string, language: string): { line: number; code: string }[] {
  const text = pageText(page)
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    code: match[1] ?? '',
  }))
}

/** Returns a directory like a user's project: 'holdfast' and its peers are installed, and nothing else is there. */
export function freshProject(): string {
  const directory = freshDirectory()
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}')
  return directory
}

/** The environment in which `node --import tsx` finds the sources of 'holdfast'. */
export const projectEnv = { ...process.env, TSX_TSCONFIG_PATH: join(root, 'tsconfig.json') }

/** Runs a program as a user's project would. Returns what it prints. */
export async function runProgram(code: string): Promise<string> {
  const directory = await freshInstallation()
  writeFileSync(
    join(directory, 'example.js'),
    transformSync(code, { loader: 'ts', format: 'esm', target: 'node20.19' }).code,
  )
  const options = { cwd: directory, timeout: 25_000 }
  const { stdout } = await promisify(execFile)(process.execPath, ['--preserve-symlinks', 'example.js'], options)
  return stdout
}
