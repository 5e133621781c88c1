import { readdirSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { openStorage, type Storage } from 'holdfast'
import { startStudio, studioHandler } from 'holdfast/studio'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildPage } from '../../scripts/build-page.ts'
import { newToken, tokenCheck } from '../../src/studio/token.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { served } from './served.ts'

let storage: Storage

beforeAll(async () => {
  storage = await openStorage({}, quiet)
  await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'Hello' })
})
afterAll(() => storage.close())

it('every start has another token of 256 bits, and only that token opens the API', async () => {
  const studio = await served(storage)
  const other = await served(storage)
  expect(Buffer.from(studio.token, 'base64url')).toHaveLength(32)
  expect(other.token).not.toBe(studio.token)
  expect((await studio.json('health')).json).toMatchObject({ ok: true })
  for (const authorization of ['', `Bearer ${other.token}`, studio.token, `Bearer ${studio.token} `.repeat(2)]) {
    const answer = await studio.ask('/api/health', { headers: { authorization } })
    expect(answer).toMatchObject({ status: 401, body: expect.stringContaining('UNAUTHORIZED') })
  }
  expect((await studio.ask('/api/health', { headers: {} })).status).toBe(401)
})

it('the page itself needs no token and has none in it', async () => {
  const { ask, token } = await served(storage)
  for (const name of ['', ...readdirSync(pageFolder).filter((file) => !/\.(?:json|ts)$/.test(file))]) {
    const { status, body } = await ask(`/${name}`)
    expect({ name, status, told: body.includes(token) }).toEqual({ name, status: 200, told: false })
  }
})

const pageFolder = resolve(import.meta.dirname, '../../src/studio/page')

it('the files of the page, as they are published, are less than 80 KiB together', async () => {
  const built = freshDirectory()
  await buildPage(built)
  const sizes = readdirSync(built).map((name) => statSync(join(built, name)).size)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(80 * 1024)
})

it('1,000 wrong tokens are refused, and the right one is answered after them', async () => {
  const { url, json } = await served(storage)
  const { origin } = new URL(url)
  const refused = { right: 0, wrong: 0 }
  for (let i = 0; i < 20; i++) {
    const statuses = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const answer = await fetch(`${origin}/api/health`, { headers: { authorization: `Bearer ${newToken()}` } })
        await answer.arrayBuffer()
        return answer.status
      }),
    )
    for (const status of statuses) refused[status === 401 ? 'wrong' : 'right']++
  }
  expect(refused).toEqual({ right: 0, wrong: 1000 })
  expect((await json('health')).status).toBe(200)
})

it('tokenCheck() compares digests, so no token is too long or too short for it', () => {
  const token = newToken()
  const isRight = tokenCheck(token)
  const asked = (authorization: string) => isRight(new Request('http://127.0.0.1/', { headers: { authorization } }))
  expect(asked(`Bearer ${token}`)).toBe(true)
  for (const wrong of [token, `Bearer ${token}x`, `Bearer ${token.slice(1)}`, 'x'.repeat(10_000)]) {
    expect(asked(wrong)).toBe(false)
  }
})

it.each([
  ['evil.example', 421],
  ['evil.example:PORT', 421],
  ['127.0.0.1.evil.example:PORT', 421],
  ['127.0.0.1', 421],
  ['127.0.0.1:1', 421],
  ['[::1]:PORT', 421],
  ['127.0.0.1:PORT', 200],
  ['localhost:PORT', 200],
  ['LOCALHOST:PORT', 200],
])('a request to the host %s is answered with %i', async (host, status) => {
  const { ask, port, authorized } = await served(storage)
  for (const path of ['/', '/api/health']) {
    const answer = await ask(path, { headers: { ...authorized, host: host.replace('PORT', String(port)) } })
    expect({ path, status: answer.status }).toEqual({ path, status })
  }
})

it.each([
  ['http://evil.example', 403],
  ['https://127.0.0.1', 403],
  ['http://127.0.0.1:1', 403],
  ['null', 403],
  ['file://', 403],
  ['http://127.0.0.1:PORT.evil.example', 403],
  ['http://127.0.0.1:PORT', 200],
  ['http://localhost:PORT', 200],
])('a request of the origin %s is answered with %i', async (origin, status) => {
  const { ask, port, authorized } = await served(storage)
  const headers = { ...authorized, origin: origin.replace('PORT', String(port)) }
  const answer = await ask('/api/health', { headers })
  expect(answer.status).toBe(status)
  expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
})

it('what a page of another site asks for is refused, but a link to the page is not', async () => {
  const { ask, authorized } = await served(storage)
  for (const site of ['cross-site', 'same-site']) {
    const headers = { ...authorized, 'sec-fetch-site': site }
    expect((await ask('/api/health', { headers })).status).toBe(403)
    expect((await ask('/app.js', { headers })).status).toBe(403)
    expect((await ask('/', { headers })).status).toBe(200)
  }
})

it('only GET and HEAD are answered', async () => {
  const { ask, authorized } = await served(storage)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const path of ['/', '/api/health', '/api/session?id=chat']) {
      expect((await ask(path, { method, headers: authorized })).status).toBe(405)
    }
  }
  expect((await ask('/', { method: 'TRACE' })).status).toBe(400)
  const head = await ask('/api/health', { method: 'HEAD', headers: authorized })
  expect(head).toMatchObject({ status: 200, body: '' })
})

it('a request line with a whole url, or without a host, is refused', async () => {
  const { port, token } = await served(storage)
  const raw = async (lines: string[]) => {
    const socket = connect(port, '127.0.0.1')
    socket.end(`${lines.join('\r\n')}\r\n\r\n`)
    return (await text(socket)).split('\r\n')[0]
  }
  const authorization = `authorization: Bearer ${token}`
  expect(
    await raw(['GET http://evil.example/api/health HTTP/1.1', `host: 127.0.0.1:${port}`, authorization]),
  ).toContain(' 400 ')
  expect(await raw(['GET /api/health HTTP/1.0', authorization])).toContain(' 400 ')
  expect(await raw(['GET /api/health HTTP/1.1', 'host: a b', authorization])).toContain(' 400 ')
  expect(await raw(['GET //evil.example/api/health HTTP/1.1', `host: 127.0.0.1:${port}`, authorization])).toContain(
    ' 404 ',
  )
})

it('every answer has the headers of a page that nothing may be injected into', async () => {
  const { ask, authorized } = await served(storage)
  const requests = [
    ask('/'),
    ask('/app.js'),
    ask('/api/health', { headers: authorized }),
    ask('/api/health'),
    ask('/nothing'),
    ask('/', { method: 'DELETE' }),
    ask('/', { headers: { host: 'evil.example' } }),
  ]
  for (const { headers } of await Promise.all(requests)) {
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'/,
      ),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
    })
  }
})

it('studioHandler() without authorize answers this machine alone', async () => {
  const handle = studioHandler(storage)
  const status = async (url: string, headers: Record<string, string> = {}) =>
    (await handle(new Request(url, { headers }))).status
  expect(await status('http://127.0.0.1:3000/api/health')).toBe(200)
  expect(await status('http://localhost/api/health')).toBe(200)
  expect(await status('http://[::1]:3000/api/health')).toBe(200)
  expect(await status('http://192.168.0.7:3000/api/health')).toBe(421)
  expect(await status('http://agents.example.com/api/health')).toBe(421)
  expect(await status('http://127.0.0.1:3000/api/health', { host: 'agents.example.com' })).toBe(421)
  for (const name of ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']) {
    expect(await status('http://127.0.0.1:3000/api/health', { [name]: '203.0.113.9' })).toBe(403)
  }
  expect(() => studioHandler(storage, { hosts: ['agents.example.com'] })).toThrow('answers only this machine')
  expect(() => studioHandler(storage, { basePath: 'studio' })).toThrow('must begin with a slash')
})

it('studioHandler() asks authorize for everything, and serves under its base path', async () => {
  const seen: string[] = []
  const handle = studioHandler(storage, {
    basePath: '/admin/studio',
    hosts: ['agents.example.com'],
    authorize: ({ url, headers }) => {
      seen.push(new URL(url).pathname)
      return headers.get('cookie') === 'admin'
    },
  })
  const status = async (path: string, headers: Record<string, string> = {}) =>
    (await handle(new Request(`https://agents.example.com${path}`, { headers }))).status
  const admin = { cookie: 'admin' }
  for (const path of ['/admin/studio/', '/admin/studio/app.js', '/admin/studio/api/health', '/nothing']) {
    expect(await status(path)).toBe(401)
  }
  expect(seen).toHaveLength(4)
  expect(await status('/admin/studio', admin)).toBe(308)
  expect(await status('/admin/studio/', admin)).toBe(200)
  expect(await status('/admin/studio/api/health', admin)).toBe(200)
  expect(await status('/api/health', admin)).toBe(404)
  expect(await status('/admin/studio/api/health', { ...admin, origin: 'https://agents.example.com' })).toBe(200)
  expect(await status('/admin/studio/api/health', { ...admin, origin: 'https://evil.example' })).toBe(403)
  const elsewhere = new Request('https://other.example.com/admin/studio/', { headers: admin })
  expect((await handle(elsewhere)).status).toBe(421)
})

it('a handler whose authorize fails lets nobody in, and tells nothing', async () => {
  const handle = studioHandler(storage, {
    authorize: () => {
      throw new Error('password=hunter2')
    },
  })
  const answer = await handle(new Request('https://agents.example.com/api/health'))
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('hunter2')
})

it('startStudio() says that a port is in use, and refuses a number that is none', async () => {
  const { port } = await served(storage)
  await expect(startStudio(storage, { port })).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: expect.stringContaining(`Port ${port} of 127.0.0.1 is in use`),
  })
  for (const wrong of [-1, 70_000, 1.5]) {
    await expect(startStudio(storage, { port: wrong })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  }
})

it('close() ends open connections and streams, and the port is free afterwards', async () => {
  const studio = await startStudio(storage)
  const { origin, hash } = new URL(studio.url)
  const authorization = `Bearer ${hash.replace('#token=', '')}`
  const following = await fetch(`${origin}/api/events/follow`, { headers: { authorization } })
  const read = following.text()
  await studio.close()
  expect((await read).trim()).toBe('')
  await studio.close()
  const again = await startStudio(storage, { port: studio.port })
  await again.close()
})
