import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadStorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { blocks, pages, pageText, root, runProgram } from './pages.ts'

/** Pages whose programs belong together: a test of their own runs them. */
const RUN_ELSEWHERE = [
  'docs/repositories.md',
  'docs/deploy.md',
  'docs/ai-sdk.md',
  'docs/claude-agent.md',
  'docs/langgraph.md',
  'docs/mastra.md',
  'docs/openai-agents.md',
  'docs/keyv.md',
  'docs/observability.md',
]

const programs = pages
  .filter((page) => !RUN_ELSEWHERE.includes(page))
  .flatMap((page) => blocks(page, 'ts').map(({ line, code }) => ({ at: `${page}:${line}`, code })))

it.each(programs)('the program of $at runs', async ({ code }) => {
  await runProgram(code)
})

it('README.md has programs, and a configuration that loads', async () => {
  expect(blocks('README.md', 'ts').length).toBeGreaterThan(1)
  const [example] = blocks('README.md', 'yaml')
  const file = join(freshDirectory(), 'agent.yml')
  writeFileSync(file, example?.code ?? '')
  const env = { REDIS_URL: 'redis://cache', POSTGRES_CONNECTION_STRING: 'postgres://user:secret@db/agent' }
  expect(await loadStorageConfig(file, { env })).toMatchObject({ cache: { url: 'redis://cache' } })
})

const linksOf = (page: string) =>
  Array.from(pageText(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g), ([, link = '']) => link)

it.each(pages)('every link of %s leads to a file', (page) => {
  expect(linksOf(page).filter((link) => !existsSync(join(root, page, '..', link)))).toEqual([])
})

/** The anchor that GitHub gives to a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

it.each(pages)('every anchor that %s links to is a heading', (page) => {
  const links = Array.from(pageText(page).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g))
  const missing = links.filter(([, file = '', anchor = '']) => {
    const target = file === '' ? page : join(page, '..', file)
    const headings = Array.from(pageText(target).matchAll(/^#+ (.+)$/gm), ([, heading = '']) => anchorOf(heading))
    return !headings.includes(anchor)
  })
  expect(missing.map(([link]) => link)).toEqual([])
})

it('README.md links every page', () => {
  expect(pages.filter((page) => page !== 'README.md' && !linksOf('README.md').includes(page))).toEqual([])
})
