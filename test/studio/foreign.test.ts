import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio, studioHandler } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { serve } from '../../src/studio/node-bridge.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile, FOREIGN_HOST } from './browser.ts'

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer
let token: string

beforeAll(async () => {
  storage = await openStorage({}, quiet)
  await storage.messages.append('chat', { role: 'user', content: 'hunter2' })
  await storage.approvals.request({ id: 'pay', type: 'tool', request: {} })
  studio = await startStudio(storage, { write: true })
  token = new URL(studio.url).hash.replace('#token=', '')
})
afterAll(async () => {
  await studio.close()
  await storage.close()
})

/** Serves something on an address of this machine until the test ends. Returns the port. */
async function listening(listener: RequestListener, address = '127.0.0.1'): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>((done) => server.listen(0, address, done))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  })
  return (server.address() as AddressInfo).port // it listens on TCP
}

/** Returns the page of an attacker, opened under a host and port, whatever answers there. */
async function attacker(host: string): Promise<Page> {
  const page = await browser.open('about:blank', { logs: /./, foreignHosts: true })
  const url = `http://${host}/attack`
  await page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: '<h1>Win a prize</h1>' }))
  await page.goto(url)
  return page
}

interface Got {
  status?: number
  body?: string
  type?: string
  error?: string
}

/** Fetches in a page, and returns what its scripts can read of the answer. */
function got(page: Page, url: string, options: RequestInit = {}): Promise<Got> {
  return page.evaluate(`
    fetch(${JSON.stringify(url)}, ${JSON.stringify(options)}).then(
      async (answer) => ({ status: answer.status, body: await answer.text(), type: answer.type }),
      (error) => ({ error: error.name }),
    )`)
}

const PATHS = ['api/messages?session=chat', 'api/configuration', 'app.js', '']
const answer = { method: 'POST', body: JSON.stringify({ id: 'pay', decision: 'approved' }) }
const isPending = async () => (await storage.approvals.get('pay'))?.response === null

it('a page whose host name was bound to this machine reads nothing, with the token and without', async () => {
  const page = await attacker(`${FOREIGN_HOST}:${studio.port}`)
  for (const headers of [{}, { authorization: `Bearer ${token}` }] as Record<string, string>[]) {
    for (const path of PATHS) {
      const { status, body } = await got(page, `/${path}`, { headers })
      expect({ path, status, code: JSON.parse(body ?? '').error.code }).toEqual({
        path,
        status: 421,
        code: 'WRONG_HOST',
      })
    }
    const asJson = { ...headers, 'content-type': 'application/json' }
    expect((await got(page, '/api/approvals/respond', { ...answer, headers: asJson })).status).toBe(421)
  }
  expect(await isPending()).toBe(true)
  await page.goto(`http://${FOREIGN_HOST}:${studio.port}/`)
  expect(await page.locator('body').innerText()).toContain('WRONG_HOST')
})

it('the same page reads everything from a handler that answers under every name', async () => {
  const handle = studioHandler(storage, { authorize: () => true })
  const port = await listening((request, response) => void serve(handle, request, response))
  const page = await attacker(`${FOREIGN_HOST}:${port}`)
  expect((await got(page, '/api/messages?session=chat')).body).toContain('hunter2')
})

it('a page of another origin reads nothing and changes nothing, with the token and without', async () => {
  const port = await listening((_, response) => response.end())
  const origin = `http://127.0.0.1:${studio.port}`
  for (const host of [`127.0.0.1:${port}`, `localhost:${studio.port}`, `${FOREIGN_HOST}:${port}`]) {
    const page = await attacker(host)
    const statuses = await statusesOf(page)
    for (const headers of [undefined, { authorization: `Bearer ${token}` }]) {
      for (const path of PATHS) {
        for (const mode of ['cors', 'no-cors'] as const) {
          const { error } = await got(page, `${origin}/${path}`, { mode, ...(headers && { headers }) })
          expect({ host, path, mode, error }).toEqual({ host, path, mode, error: 'TypeError' })
        }
      }
    }
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
      for (const mode of ['cors', 'no-cors'] as const) {
        const headers = { 'content-type': type, ...(mode === 'cors' && { authorization: `Bearer ${token}` }) }
        expect(await got(page, `${origin}/api/approvals/respond`, { ...answer, headers, mode })).toEqual({
          error: 'TypeError',
        })
      }
    }
    expect(await isPending()).toBe(true)
    expect(statuses()).toEqual([403])
    expect(await embedded(page, origin)).toEqual({ script: 'error', image: 'error', style: 'error' })
    await expect.poll(() => page.frames()[1]?.url()).toBe('chrome-error://chromewebdata/')
    await page.context().close()
  }
})

/**
 * Notes what Studio answers to a page, also what the page cannot read. Anybody may ask for the page itself, which has no
 * data.
 */
async function statusesOf(page: Page): Promise<() => number[]> {
  const session = await page.context().newCDPSession(page)
  const paths = new Map<string, string>()
  const seen = new Map<string, number>()
  session.on('Network.requestWillBeSent', ({ requestId, request }) =>
    paths.set(requestId, new URL(request.url).pathname),
  )
  session.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => seen.set(requestId, statusCode))
  await session.send('Network.enable')
  return () => [...new Set([...seen].flatMap(([id, status]) => (paths.get(id) === '/' ? [] : [status])))]
}

/** Embeds Studio in a page, and files of it, and says what became of each file. */
const embedded = (page: Page, origin: string): Promise<unknown> =>
  page.evaluate(`(async () => {
    const outcome = (name, given) => new Promise((resolve) => {
      const element = Object.assign(document.createElement(name), given)
      element.onload = () => resolve('loaded')
      element.onerror = () => resolve('error')
      document.body.append(element)
    })
    await outcome('iframe', { src: '${origin}/' })
    return {
      script: await outcome('script', { src: '${origin}/app.js' }),
      image: await outcome('img', { src: '${origin}/icon.svg' }),
      style: await outcome('link', { rel: 'stylesheet', href: '${origin}/studio.css' }),
    }
  })()`)

it('the page itself reads what the others do not', async () => {
  const page = await browser.open(studio.url)
  await page.locator('h1').waitFor()
  const headers = { authorization: `Bearer ${token}` }
  expect((await got(page, '/api/messages?session=chat', { headers })).body).toContain('hunter2')
})

it('only 127.0.0.1 answers: at every other address of the machine the port is closed', async () => {
  const others = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => (address === '127.0.0.1' || address.startsWith('fe80') ? [] : [address]))
  if (process.platform === 'linux') others.push('127.0.0.2') // all of 127.0.0.0/8 is this machine
  const open = await listening((_, response) => response.end(), '0.0.0.0')
  for (const address of others) {
    expect({ address, outcome: await connected(studio.port, address) }).toEqual({ address, outcome: 'ECONNREFUSED' })
    if (!address.includes(':')) expect(await connected(open, address)).toBe('connected')
  }
  expect(await connected(studio.port, '127.0.0.1')).toBe('connected')
  expect(others.length).toBeGreaterThan(0)
})

function connected(port: number, host: string): Promise<string> {
  return new Promise((done) => {
    const socket = connect({ port, host })
    socket.once('connect', () => done('connected'))
    socket.once('error', (error) => done(String(Reflect.get(error, 'code'))))
    socket.once('connect', () => socket.destroy())
  })
}
