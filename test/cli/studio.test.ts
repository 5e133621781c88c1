import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { browserOfFile } from '../studio/browser.ts'
import { holdfast, start } from './command-line.ts'

/** Starts `holdfast studio`, and returns what it prints with the process. */
async function studio(args: readonly string[], cwd: string, output: 'json' | 'printed' = 'json') {
  const child = start(['studio', ...(output === 'json' ? ['--json'] : []), ...args], { cwd })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close').then(([code]) => {
    throw new Error(`studio ended with ${code}: ${stderr}`)
  })
  ended.catch(() => {}) // it is killed at the end
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended])
  const { url, port } = output === 'json' ? JSON.parse(line) : { url: String(line), port: Number(new URL(line).port) }
  const authorization = `Bearer ${new URL(url).hash.replace('#token=', '')}`
  const get = async (path: string): Promise<Record<string, unknown>> => {
    const answer = await fetch(new URL(`/api/${path}`, url), { headers: { authorization } })
    return JSON.parse(await answer.text())
  }
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return once(child, 'close')
  }
  return { url, port, get, end }
}

const browser = browserOfFile()

interface Place {
  args: string[]
  cwd: string
  /** What the agent is configured with. */
  config: StorageConfig
  secret?: string
}

it.each<[string, object, () => Promise<Place>]>([
  [
    'SQLite',
    { write: false, search: false, database: 'sqlite' },
    async () => {
      const cwd = freshDirectory()
      const place = {
        database: { type: 'sqlite', path: './agent.db' },
        blobStore: { type: 'local', storePath: './blobs' },
      }
      writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: place }))
      const database = { type: 'sqlite', path: join(cwd, 'agent.db') } as const
      return { args: [], cwd, config: { database, blobStore: { type: 'local', storePath: join(cwd, 'blobs') } } }
    },
  ],
  [
    'PostgreSQL',
    { write: true, search: false, database: 'postgres' },
    async () => {
      const url = new URL(await freshPostgres())
      const storePath = join(freshDirectory(), 'blobs')
      const config: StorageConfig = {
        database: { type: 'postgres', url: url.href },
        blobStore: { type: 'local', storePath },
      }
      url.searchParams.set('application_name', 'studio')
      url.password ||= 'hunter2'
      const { password: secret } = url
      return { args: ['--database', url.href, '--blobs', storePath, '--write'], cwd: freshDirectory(), config, secret }
    },
  ],
])(
  'studio prints a link that a browser opens, beside a running agent on %s, and Ctrl-C ends it',
  async (_, about, prepare) => {
    const { args, cwd, config, secret = 'hunter2' } = await prepare()
    const agent = runScript<{ said: number }>('test/cli/programs/talk.ts', [JSON.stringify(config)])
    await agent.next(({ said }) => said >= 3)
    const { url, get, end } = await studio(args, cwd, 'printed')
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/)
    expect(await get('studio')).toEqual(about)
    const shown = await get('configuration')
    expect(JSON.stringify(shown)).not.toContain(secret)
    expect(shown).toMatchObject({ database: args.length === 0 ? { readonly: true } : { type: 'postgres' } })
    expect(await get('health')).toMatchObject({ ok: true })
    expect(await get('blobs')).toMatchObject({ items: [{ name: 'a.txt' }] })

    const page = await browser.open(url)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await page.getByRole('link', { name: 'Sessions', exact: true }).click()
    await page.getByRole('link', { name: 'chat', exact: true }).click()
    await page.getByText('Sentence 1', { exact: true }).waitFor()
    await page.getByRole('link', { name: 'Events', exact: true }).first().click()
    const newest = async () => Number(/\d+/.exec((await page.locator('.rows li pre').first().textContent()) ?? '')?.[0])
    const before = await newest()
    await expect.poll(newest).toBeGreaterThan(before) // what the other process stores meanwhile

    const begun = performance.now()
    expect(await end('SIGINT')).toEqual([130, null])
    expect(performance.now() - begun).toBeLessThan(5000)
    await page.getByText('Start it again: holdfast studio').waitFor()
    const { length } = agent.messages
    await agent.next(({ said }) => said > length + 1) // it goes on, and noticed nothing
  },
)

it('studio says that a port is in use, and which numbers are ports', async () => {
  const cwd = freshDirectory()
  await holdfast(['migrate', '--database', 'a.db'], { cwd })
  const first = await studio(['--database', 'a.db'], cwd)
  const second = await holdfast(['studio', '--database', 'a.db', '--port', String(first.port)], { cwd })
  expect(second).toMatchObject({
    code: 5,
    stdout: '',
    stderr: expect.stringContaining(`Port ${first.port} of 127.0.0.1 is in use`),
  })
  expect(await first.end('SIGINT')).toEqual([130, null])
  const third = await studio(['--database', 'a.db', '--port', String(first.port)], cwd)
  expect(third.port).toBe(first.port)
  expect(await third.end('SIGTERM')).toEqual([143, null])
  expect(await holdfast(['studio', '--database', 'a.db', '--port', '70000'], { cwd })).toMatchObject({ code: 2 })
})

it('studio on a database with pending migrations changes nothing and says what to do', async () => {
  const cwd = freshDirectory()
  const { code, stderr } = await holdfast(['studio', '--database', 'none.db'], { cwd })
  expect(code).not.toBe(0)
  expect(stderr).not.toBe('')
})
