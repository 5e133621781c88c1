import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, start } from './command-line.ts'

/** Starts `holdfast studio --json`, and returns what it prints with the process. */
async function studio(args: readonly string[], cwd: string) {
  const child = start(['studio', '--json', ...args], { cwd })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close').then(([code]) => {
    throw new Error(`studio ended with ${code}: ${stderr}`)
  })
  ended.catch(() => {}) // it is killed at the end
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended])
  const { url, port, write } = JSON.parse(line)
  const authorization = `Bearer ${new URL(url).hash.replace('#token=', '')}`
  const get = async (path: string): Promise<Record<string, unknown>> => {
    const answer = await fetch(new URL(`/api/${path}`, url), { headers: { authorization } })
    return JSON.parse(await answer.text())
  }
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return once(child, 'close')
  }
  return { url, port, write, get, end }
}

it('studio shows an SQLite file beside a running agent, read-only, and Ctrl-C ends it', async () => {
  const cwd = freshDirectory()
  const config = {
    database: { type: 'sqlite', path: './agent.db' },
    blobStore: { type: 'local', storePath: './blobs' },
  }
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: config }))
  const database = { type: 'sqlite', path: join(cwd, 'agent.db') } as const
  const agent = await openStorage({ database, blobStore: { type: 'local', storePath: join(cwd, 'blobs') } }, quiet)
  await agent.messages.append('chat', { role: 'user', content: 'hello' })
  const { id } = await agent.blobs.put(Buffer.from('bytes'), { name: 'a.txt' })
  const { url, get, end } = await studio([], cwd)
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/)
  expect(await get('configuration')).toMatchObject({ database: { readonly: true } })
  expect(await get('messages?session=chat')).toMatchObject({ items: [{ content: 'hello' }] })
  await agent.messages.append('chat', { role: 'assistant', content: 'hi' })
  expect(await get('messages?session=chat')).toMatchObject({ items: [{}, { content: 'hi' }] })
  expect(await get(`blob?id=${id}`)).toMatchObject({ name: 'a.txt' })
  expect(await get('stats')).toMatchObject({ blobs: { count: 1 } })
  expect(await end('SIGINT')).toEqual([130, null])
  await agent.close()
})

it('studio shows a PostgreSQL database, its configuration without the password, and SIGTERM ends it', async () => {
  const cwd = freshDirectory()
  const url = new URL(await freshPostgres())
  await holdfast(['migrate', '--database', url.href], { cwd })
  url.searchParams.set('application_name', 'studio')
  const secret = url.password || 'hunter2'
  url.password = secret
  const running = await studio(['--database', url.href, '--write'], cwd)
  expect(await running.get('studio')).toEqual({ write: true, search: false, database: 'postgres' })
  expect(JSON.stringify(await running.get('configuration'))).not.toContain(secret)
  expect(await running.get('health')).toMatchObject({ ok: true })
  expect(await running.end('SIGTERM')).toEqual([143, null])
})

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
  expect(await third.end('SIGINT')).toEqual([130, null])
  expect(await holdfast(['studio', '--database', 'a.db', '--port', '70000'], { cwd })).toMatchObject({ code: 2 })
})

it('studio on a database with pending migrations changes nothing and says what to do', async () => {
  const cwd = freshDirectory()
  const { code, stderr } = await holdfast(['studio', '--database', 'none.db'], { cwd })
  expect(code).not.toBe(0)
  expect(stderr).not.toBe('')
})
