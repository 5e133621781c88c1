import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ROUTES } from '../../src/studio/routes.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

/** What no answer may hold: the files around the page and the blobs, and the environment of the process. */
const SECRET = 'hunter2 is in this file'
const LEAKS = new RegExp(`${SECRET}|root:.*:0:0|"compilerOptions"|export interface SessionItem|SECURITY_HEADERS|PATH=`)

const pageFolder = resolve(import.meta.dirname, '../../src/studio/page')
const ASSETS = readdirSync(pageFolder).filter((name) => /\.(?:html|css|js|svg)$/.test(name))
/** The paths that are not in the table: streams, what the page asks first, and the one that writes. */
const OTHERS = ['studio', 'events/follow', 'blob/bytes', 'approvals/respond']
const API = [...ROUTES.keys(), ...OTHERS]
const ANSWERING = API.filter((path) => path !== 'events/follow') // that one does not end by itself

const agent = new Agent({ keepAlive: true, maxSockets: 8 }) // thousands of requests: not each with a connection of its own
let storage: Storage
let studio: StudioServer
let blobId: string

beforeAll(async () => {
  const directory = freshDirectory()
  const storePath = join(directory, 'blobs')
  mkdirSync(storePath)
  writeFileSync(join(directory, 'secret.txt'), SECRET)
  writeFileSync(join(storePath, 'secret.txt'), SECRET)
  storage = await openStorage({ blobStore: { type: 'local', storePath } }, quiet)
  await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'Hello' })
  blobId = (await storage.blobs.put(Buffer.from('<h1>Hello</h1>'), { mimeType: 'text/html' })).id
  studio = await startStudio(storage, { write: true })
})
afterAll(async () => {
  agent.destroy()
  await studio.close()
  await storage.close()
})

interface Answer {
  path: string
  status: number
  type: string | undefined
  headers: Record<string, string | string[] | undefined>
  body: string
}

const authorized = () => ({ authorization: `Bearer ${new URL(studio.url).hash.replace('#token=', '')}` })

/** Sends a path as it is: other clients shorten it before. */
function ask(path: string, method = 'GET', headers: Record<string, string> = authorized()): Promise<Answer> {
  return new Promise((done, fail) => {
    const options = { host: '127.0.0.1', port: studio.port, path, method, agent, headers }
    const asking = request(options, (response) => {
      const { statusCode = 0, headers } = response
      const answer = { path, status: statusCode, type: headers['content-type'], headers }
      text(response).then((body) => done({ ...answer, body }), fail)
    })
    asking.on('error', fail)
    asking.end()
  })
}

/** Ways up from a path, as they are and encoded once and twice, with what some programs take for a slash or for an end. */
const CLIMBS = [
  '/../',
  '/%2e%2e/',
  '/.%2e/',
  '/..%2f',
  '%2f..%2f',
  '/%2e%2e%2f',
  '/..\\',
  '\\..\\',
  '/..%5c',
  '/%2e%2e%5c',
  '/%252e%252e%252f',
  '/..%252f',
  '/..%c0%af',
  '/..%ef%bc%8f',
  '/....//',
  '/..;/',
  '%00/../',
  '/..%00/',
]
const TARGETS = ['tsconfig.json', 'items.d.ts', 'headers.ts', 'etc/passwd', 'proc/self/environ']
const ENDS = ['%00', '%00.js', '%2f', '/', '//', '/.', '/%2e', '.', '%20', '.map', '~', '%5c', ';x', '%3f', '%23']

it('what no answer may hold is in the files beside the page', () => {
  for (const path of ['tsconfig.json', 'items.d.ts', '../headers.ts', '/etc/passwd']) {
    expect(readFileSync(resolve(pageFolder, path), 'utf8')).toMatch(LEAKS)
  }
})

it(`no path leaves the folder of the page, from any of ${API.length} routes and ${ASSETS.length} files`, async () => {
  const starts = ['', ...ASSETS.map((name) => `/${name}`), ...API.map((route) => `/api/${route}`)]
  // Every start meets every way up, and the targets and the number of steps take turns.
  const answers = starts.flatMap((start, i) =>
    CLIMBS.map((climb, n) => ask(`${start}${climb.repeat(1 + ((i + n) % 3))}${TARGETS[(i + 2 * n) % TARGETS.length]}`)),
  )
  const found = (await Promise.all(answers)).filter(
    ({ status, body }) => ![400, 404].includes(status) || LEAKS.test(body),
  )
  expect(found).toEqual([])
})

it('a path that is almost one of them is none of them', async () => {
  const paths = [...ASSETS.map((name) => `/${name}`), ...API.map((route) => `/api/${route}`)]
  const answers = paths.flatMap((path) => [
    ...ENDS.map((end) => ask(`${path}${end}`)),
    ask(path.toUpperCase()),
    ask(`/x/..${path.replaceAll('/', '%2f')}`),
    ask(`/${path}`),
  ])
  const found = (await Promise.all(answers)).filter(({ status }) => ![400, 404].includes(status))
  expect(found.map(({ path, status }) => `${status} ${path}`)).toEqual([])
  for (const path of [
    '/api/constructor',
    '/constructor',
    '/__proto__',
    '/api/__proto__',
    '/api/',
    '/api',
    '/page.json',
  ]) {
    expect(await ask(path)).toMatchObject({ path, status: 404 })
  }
})

it('no parameter of any route is taken for a path', async () => {
  const values = [
    '../secret.txt',
    '..%2fsecret.txt',
    'secret.txt',
    '/etc/passwd',
    'file:///etc/passwd',
    'a\0b',
    '..\\..\\x',
  ]
  const names = 'id session queue run type tag source owner q cursor in order status'.split(' ')
  const answers = ANSWERING.flatMap((route) =>
    values.flatMap((value) => {
      const given = (chosen: readonly string[]) =>
        new URLSearchParams(Object.fromEntries(chosen.map((name) => [name, value])))
      return [ask(`/api/${route}?${given(names)}`), ask(`/api/${route}?${given(names.slice(0, 3))}`)]
    }),
  )
  const leaked = (await Promise.all(answers)).filter(({ body }) => LEAKS.test(body))
  expect(leaked).toEqual([])
})

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}
const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

it('every route and every file has its type, which no browser may guess, whether it answers or refuses', async () => {
  const json = 'application/json; charset=utf-8'
  for (const name of ['', ...ASSETS]) {
    const { status, type, headers } = await ask(`/${name}`)
    expect({ name, status, type }).toEqual({ name, status: 200, type: TYPES[name.split('.')[1] ?? 'html'] })
    expect(headers).toMatchObject(HEADERS)
  }
  for (const route of ANSWERING) {
    for (const given of ['', '?session=chat&id=m1&q=x&queue=x', '?id=chat', `?id=${blobId}`, '?limit=x']) {
      const isBytes = route === 'blob/bytes' && given.includes(blobId)
      const { status, type, headers } = await ask(`/api/${route}${given}`)
      expect({ route, given, type }).toEqual({ route, given, type: isBytes ? 'application/octet-stream' : json })
      expect([200, 400, 404, 405, 409]).toContain(status)
      expect(headers).toMatchObject(HEADERS)
      expect(headers['content-security-policy']).toMatch(isBytes ? /; sandbox$/ : /trusted-types 'none'$/)
    }
  }
  const following = await fetch(new URL('/api/events/follow', studio.url), { headers: authorized() })
  expect(following.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
  await following.body?.cancel()
})

it('every route needs the token, its own host and origin, and one method', async () => {
  const given = `?id=${blobId}&session=chat&queue=x&q=x&seq=1`
  const refused: [status: number, method: string, headers: Record<string, string>][] = [
    [401, 'GET', {}],
    [401, 'GET', { authorization: 'Bearer x' }],
    [421, 'GET', { ...authorized(), host: `evil.example:${studio.port}` }],
    [403, 'GET', { ...authorized(), origin: 'http://evil.example' }],
    [403, 'GET', { ...authorized(), 'sec-fetch-site': 'cross-site' }],
    ...['PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method): [number, string, Record<string, string>] => [
      405,
      method,
      authorized(),
    ]),
  ]
  const answers = API.flatMap((route) =>
    refused.map(async ([status, method, headers]) => {
      const answer = await ask(`/api/${route}${given}`, method, headers)
      return { wanted: status, method, ...answer, isError: Object.keys(JSON.parse(answer.body)).join() === 'error' }
    }),
  )
  const wrong = (await Promise.all(answers)).filter(({ wanted, status, isError }) => status !== wanted || !isError)
  expect(wrong).toEqual([])
  const posted = await Promise.all(API.map((route) => ask(`/api/${route}${given}`, 'POST')))
  expect(posted.map(({ status }) => status)).toEqual(API.map((route) => (route === 'approvals/respond' ? 415 : 405)))
  const files = ASSETS.flatMap((name) => ['POST', 'PUT', 'DELETE', 'OPTIONS'].map((method) => ask(`/${name}`, method)))
  expect((await Promise.all(files)).filter(({ status }) => status !== 405)).toEqual([])
})
