import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageConfig, toolExecutionId } from 'holdfast'
import { studioHandler } from 'holdfast/studio'
import { expect, it, onTestFinished } from 'vitest'
import { freshDirectory, sharedDatabases } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { served } from './served.ts'

async function opened(config: StorageConfig = {}) {
  const storage = await openStorage(config, quiet)
  onTestFinished(() => storage.close())
  return storage
}

it.each(sharedDatabases)('every path gives what the repositories give: %s', async (_, configure) => {
  const database = await configure()
  const storage = await opened({ database: { ...database, options: { search: true } } as StorageConfig['database'] })
  const ada = storage.scope({ ownerId: 'ada' })
  await ada.sessions.create({ id: 'a/../b', title: 'Trip', metadata: { mood: 'curious' } })
  await ada.messages.append('a/../b', [
    { id: 'm1', role: 'user', content: 'Find me a train to Oslo.' },
    { id: 'm2', role: 'assistant', content: [{ type: 'text', text: 'At 9:04.' }] },
  ])
  await storage.messages.append('other', { id: 'm3', role: 'user', content: 'A boat to Oslo' })
  const memory = await ada.memories.create({ content: 'Likes trains to Oslo', tags: ['travel'] })
  const event = await storage.events.append({
    type: 'run.started',
    sessionId: 'a/../b',
    runId: 'r1',
    payload: { n: 1 },
  })
  await storage.queues.push('a/../b', 'steer', { id: 'q1', text: 'a window seat' })
  const asked = await storage.approvals.request({ sessionId: 'a/../b', type: 'tool', request: { tool: 'mail' } })
  const identity = { runId: 'r1', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  await storage.toolExecutions.start({ identity, toolName: 'search', input: { q: 'Oslo' } })
  const blob = await ada.blobs.put(Buffer.from('hello'), { name: 'a.txt' })
  const { json } = await served(storage)
  const get = async (path: string) => (await json(path)).json
  const session = encodeURIComponent('a/../b')
  const same = (value: unknown) => JSON.parse(JSON.stringify(value))

  expect(await get('studio')).toEqual({ write: false, search: true, database: database?.type })
  expect(await get('health')).toMatchObject({ ok: true })
  expect((await get('stats')).database.rows).toMatchObject({ sessions: 2, messages: 3 })
  expect(await get('configuration')).toEqual(same(storage.config))
  expect(await get('session?id=other')).toEqual(same(await storage.sessions.summary('other')))
  expect(await get(`session?id=${session}`)).toMatchObject({ id: 'a/../b', ownerId: 'ada', messageCount: 2 })
  expect(await get('sessions')).toEqual(same(await storage.sessions.list()))
  expect((await get('sessions?owner=ada')).items).toHaveLength(1)
  const first = await get('sessions?limit=1&orderBy=createdAt')
  expect(first.items).toMatchObject([{ id: 'other' }])
  expect((await get(`sessions?limit=1&orderBy=createdAt&cursor=${first.nextCursor}`)).items).toMatchObject([
    { id: 'a/../b' },
  ])
  expect((await get(`messages?session=${session}`)).items).toEqual(same((await storage.messages.list('a/../b')).items))
  expect((await get(`messages?session=${session}&after=1`)).items).toMatchObject([{ id: 'm2' }])
  expect((await get(`messages?session=${session}&before=2&order=desc`)).items).toMatchObject([{ id: 'm1' }])
  expect((await get(`messages/around?session=${session}&id=m2`)).items).toHaveLength(2)
  expect(await get(`message?session=${session}&id=m1`)).toMatchObject({ content: 'Find me a train to Oslo.' })
  expect((await get('search?q=oslo')).items).toMatchObject([{ id: 'm3' }, { id: 'm1', sessionId: 'a/../b' }])
  expect((await get('search?q=oslo&owner=ada')).items).toMatchObject([{ id: 'm1', highlights: [[19, 23]] }])
  expect((await get('search?q=oslo&in=sessions')).items).toMatchObject([{ sessionId: 'other' }, { title: 'Trip' }])
  expect((await get('search?q=oslo&in=memories')).items).toMatchObject([{ id: memory.id }])
  expect((await get('memories?tag=travel')).items).toEqual(same([memory]))
  expect(await get(`memory?id=${memory.id}`)).toEqual(same(memory))
  expect((await get('events?run=r1&order=desc')).items).toMatchObject([{ type: 'run.started', payload: { n: 1 } }])
  expect(await get(`event?run=r1&seq=${event.seq}`)).toEqual(same(event))
  expect((await json(`event?type=other&seq=${event.seq}`)).status).toBe(404)
  expect((await get('queues')).items).toMatchObject([{ sessionId: 'a/../b', queue: 'steer', length: 1 }])
  expect((await get(`queue/items?session=${session}&queue=steer`)).items).toEqual([{ id: 'q1', text: 'a window seat' }])
  expect((await get('approvals?status=pending')).items).toEqual([same(asked)])
  expect((await get('approvals?status=responded')).items).toEqual([])
  expect(await get(`approval?id=${asked.id}`)).toEqual(same(asked))
  expect((await get('executions?status=running&run=r1')).items).toMatchObject([{ toolName: 'search' }])
  expect(await get(`execution?id=${toolExecutionId(identity)}`)).toMatchObject({ input: { q: 'Oslo' } })
  expect((await get('blobs?owner=ada')).items).toMatchObject([{ id: blob.id, name: 'a.txt' }])
  expect((await get('blobs?owner=bob')).items).toEqual([])
  expect(await get(`blob?id=${blob.id}`)).toMatchObject({ size: 5, mimeType: 'text/plain' })
  const { days, complete } = await get('days')
  expect({ days: days.length, complete, today: days.at(-1) }).toMatchObject({
    days: 30,
    complete: true,
    today: { messages: 3 },
  })
  expect((await get('days?owner=ada')).days.at(-1)).toMatchObject({ messages: 2 })
})

it('what does not exist is 404, and what is not valid 400, each with its code', async () => {
  const storage = await opened()
  const { json } = await served(storage)
  for (const path of [
    'session?id=none',
    'message?session=none&id=none',
    'messages/around?session=none&id=none',
    'memory?id=none',
    'approval?id=none',
    'execution?id=none',
    `blob?id=${'0'.repeat(32)}`,
    `blob/bytes?id=${'0'.repeat(32)}`,
    'session/forks?id=none',
    'nothing',
  ]) {
    expect({ path, ...(await json(path)) }).toMatchObject({
      path,
      status: 404,
      json: { error: { code: /NOT_FOUND$/ } },
    } as object)
  }
  for (const path of [
    'session',
    'messages?session=a&after=-1',
    'messages?session=a&limit=101',
    'messages?session=a&limit=x',
    'messages?session=a&order=up',
    'sessions?cursor=nonsense',
    `session?id=${'x'.repeat(300)}`,
    'session?id=a%00b',
    'blob?id=../../etc/passwd',
    'blob/bytes?id=..%2f..%2fetc',
    'executions?status=lost',
    'days?timeoutMillis=30001',
  ]) {
    expect({ path, ...(await json(path)) }).toMatchObject({ path, status: 400 })
  }
  expect(await json('search?q=hello')).toMatchObject({ status: 409, json: { error: { code: 'INVALID_STATE' } } })
})

it('the tree of forks is found from each of its sessions', async () => {
  const storage = await opened()
  await storage.messages.append('root', { role: 'user', content: 'Hello' })
  for (const [id, from] of [
    ['left', 'root'],
    ['right', 'root'],
    ['leaf', 'left'],
  ] as const) {
    await new Promise((resolve) => setTimeout(resolve, 2)) // so that the times differ
    await storage.sessions.fork(from, { id })
  }
  await storage.sessions.create({ id: 'stranger' })
  const { json } = await served(storage)
  const parents = async (id: string) => {
    const { nodes, hasOrigin } = (await json(`session/forks?id=${id}`)).json
    const pairs = nodes.map((node: { id: string; parentId: string | null }) => [node.id, node.parentId])
    return { hasOrigin, parents: Object.fromEntries(pairs) }
  }
  for (const id of ['root', 'left', 'right', 'leaf']) {
    expect(await parents(id)).toEqual({
      hasOrigin: false,
      parents: { root: null, left: 'root', right: 'root', leaf: 'left' },
    })
  }
  expect(await parents('stranger')).toEqual({ hasOrigin: false, parents: { stranger: null } })
  await storage.sessions.delete('root')
  expect((await parents('leaf')).parents).toEqual({ left: 'root', leaf: 'left' }) // the origin is gone
})

it('a large tree of forks is read in parts, each by the index of its parent', async () => {
  const storage = await opened()
  const ada = storage.scope({ ownerId: 'ada' })
  await ada.sessions.create({ id: 'root' })
  await storage.sessions.create({ id: 'f-0' }) // nobody's, with the id of a fork of ada's
  for (let i = 0; i < 230; i++) await ada.sessions.fork('root', { id: `f-${i}` })
  for (let i = 0; i < 120; i++) await ada.sessions.fork(i === 0 ? 'root' : `b-${i - 1}`, { id: `b-${i}` })
  const { json } = await served(storage)
  type Node = { id: string; more?: string }
  const seen = new Set<string>()
  const lists: Node[] = []
  const note = (nodes: Node[]) => {
    expect(nodes.length).toBeLessThanOrEqual(100)
    for (const node of nodes) {
      seen.add(node.id)
      if (node.more !== undefined) lists.push(node)
    }
  }
  note((await json('session/forks?id=root')).json.nodes)
  for (let list = lists.pop(); list !== undefined; list = lists.pop()) {
    note((await json(`session/more-forks?id=${list.id}&cursor=${list.more}`)).json.nodes)
  }
  expect(seen.size).toBe(351)
  const deep = (await json('session/forks?id=b-119')).json
  expect(deep).toMatchObject({ hasOrigin: true, nodes: { 0: { id: 'b-119' }, 30: { id: 'b-89' } } })
})

it('a large item is cut in a list, says how large it is, and is whole by itself', async () => {
  const storage = await opened()
  const content = '😀'.repeat(500_000)
  const parts = Array.from({ length: 1000 }, (_, i) => ({ type: 'text', text: `part ${i} `.repeat(100) }))
  await storage.messages.append('chat', [
    { id: 'long', role: 'user', content },
    { id: 'parts', role: 'assistant', content: parts },
    { id: 'short', role: 'user', content: 'ok' },
  ])
  const { ask, json, authorized } = await served(storage)
  const { body } = await ask('/api/messages?session=chat', { headers: authorized })
  expect(body.length).toBeLessThan(100_000)
  const { items, shortened } = JSON.parse(body)
  expect(Object.keys(shortened)).toEqual(['0', '1'])
  expect(shortened[0]).toBeGreaterThan(1_000_000)
  expect(items[0]).toMatchObject({ id: 'long', role: 'user', seq: 1, content: expect.stringMatching(/^(😀)+…$/u) })
  expect(items[1]).toMatchObject({ id: 'parts', createdAt: expect.any(String) })
  expect(items[2].content).toBe('ok')
  expect((await json('message?session=chat&id=long')).json.content).toBe(content)
})

it('a blob is shown only if it is an image that cannot hold a program', async () => {
  const storage = await opened()
  const { ask, authorized } = await served(storage)
  const html = Buffer.from('<script>alert(1)</script>')
  for (const [mimeType, served] of [
    ['text/html', 'application/octet-stream'],
    ['image/svg+xml', 'application/octet-stream'],
    ['application/xhtml+xml', 'application/octet-stream'],
    ['text/javascript', 'application/octet-stream'],
    ['application/pdf', 'application/octet-stream'],
    ['image/png', 'image/png'],
    ['image/webp', 'image/webp'],
  ]) {
    const name = 'a\r\nb/../"x".html'
    const { id } = await storage.blobs.put(html, { mimeType, name })
    const { headers, body } = await ask(`/api/blob/bytes?id=${id}`, { headers: authorized })
    expect(body).toBe(html.toString())
    expect(headers).toMatchObject({
      'content-type': served,
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'content-disposition': expect.stringMatching(
        served === 'application/octet-stream'
          ? /^attachment; filename="a__b_.._%?\w*x\w*\.html"; filename\*=UTF-8''a__b_.._%?\w*x\w*\.html$/
          : /^inline;/,
      ),
    })
  }
})

it('events are followed as they come, and the stream ends with its reader', async () => {
  const storage = await opened({ database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db') } })
  await storage.events.append([{ type: 'old' }, { type: 'other' }])
  const { url, authorized, json } = await served(storage)
  const { items, nextCursor } = (await json('events?order=desc&limit=1')).json
  expect(items).toMatchObject([{ type: 'other' }])
  const ending = new AbortController()
  const path = `/api/events/follow?cursor=${encodeURIComponent(nextCursor)}`
  const answer = await fetch(new URL(path, url), { headers: authorized, signal: ending.signal })
  const reader = (answer.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const until = async (type: string) => {
    while (!text.includes(`"type":"${type}"`)) text += (await reader.read()).value ?? ''
  }
  await storage.events.append({ type: 'new', payload: { n: 1 } })
  await until('new')
  await storage.events.append({ type: 'newer' })
  await until('newer')
  ending.abort()
  await expect(reader.read()).rejects.toThrow()
})

it('at most 16 readers follow at once, and a reader that leaves makes room', async () => {
  const storage = await opened()
  const { url, authorized } = await served(storage)
  const follow = async () => {
    const ending = new AbortController()
    const answer = await fetch(new URL('/api/events/follow', url), { headers: authorized, signal: ending.signal })
    return { status: answer.status, leave: () => ending.abort() }
  }
  const readers = await Promise.all(Array.from({ length: 16 }, follow))
  expect(readers.every(({ status }) => status === 200)).toBe(true)
  expect((await follow()).status).toBe(503)
  readers[0]?.leave()
  await expect.poll(async () => (await follow()).status).toBe(200)
  for (const { leave } of readers) leave()
})

it('a reader that leaves while authorize decides takes no place', async () => {
  const handle = studioHandler(await opened(), { authorize: () => sleep(1, true) })
  const follow = (signal?: AbortSignal) => handle(new Request('https://a.example/api/events/follow', { signal }))
  for (let i = 0; i < 16; i++) {
    const leaving = new AbortController()
    const answer = follow(leaving.signal)
    leaving.abort()
    await (await answer).body?.cancel()
  }
  const answer = await follow()
  expect(answer.status).toBe(200)
  await answer.body?.cancel()
})

it('an approval is answered with write, once, and not without', async () => {
  const storage = await opened()
  const { id } = await storage.approvals.request({ type: 'tool', request: { tool: 'mail' } })
  const answer = { method: 'POST', body: JSON.stringify({ id, decision: 'approved', data: { note: 'yes' } }) }
  const asJson = { 'content-type': 'application/json' }
  const reading = await served(storage)
  const refused = await reading.json('approvals/respond', { ...answer, headers: asJson })
  expect(refused).toMatchObject({ status: 403, json: { error: { code: 'READ_ONLY' } } })
  expect((await storage.approvals.get(id))?.response).toBeNull()

  const writing = await served(storage, { write: true })
  const respond = async (body: string, headers: Record<string, string> = asJson) =>
    (await writing.json('approvals/respond', { method: 'POST', body, headers })).status
  expect((await writing.json('approvals/respond')).status).toBe(405)
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp']) {
    expect(await respond(answer.body, { 'content-type': type })).toBe(415)
  }
  expect(await respond(answer.body, { ...asJson, origin: 'http://evil.example' })).toBe(403)
  expect(await respond(answer.body, { ...asJson, authorization: 'Bearer wrong' })).toBe(401)
  for (const body of [
    '',
    '[]',
    'null',
    '{',
    '{"id":1}',
    JSON.stringify({ id }),
    JSON.stringify({ id, decision: 'a', x: 1 }),
  ]) {
    expect(await respond(body)).toBe(400)
  }
  expect(await respond(JSON.stringify({ id, decision: 'a', data: 'x'.repeat(70_000) }))).toBe(413)
  expect(await respond(JSON.stringify({ id: 'none', decision: 'approved' }))).toBe(404)
  expect((await storage.approvals.get(id))?.response).toBeNull()

  const answered = await writing.json('approvals/respond', { ...answer, headers: asJson })
  expect(answered.json).toMatchObject({ status: 'created', response: { decision: 'approved', data: { note: 'yes' } } })
  const again = await writing.json('approvals/respond', { ...answer, headers: asJson })
  expect(again.json).toMatchObject({ status: 'replayed' })
})

it('the configuration has no secret', async () => {
  const storage = await opened()
  const { json } = await served({
    ...storage,
    config: { ...storage.config, database: { type: 'postgres', connection: { url: 'postgres://u:***@h/d' } } },
  } as unknown as typeof storage) // only the configuration is asked for
  expect((await json('configuration')).json.database.connection.url).toBe('postgres://u:***@h/d')
})

it('a storage that is closed is 503, and tells what is wrong', async () => {
  const storage = await opened()
  const { json } = await served(storage)
  await storage.close()
  expect(await json('sessions')).toMatchObject({ status: 503, json: { error: { code: 'CLOSED' } } })
  expect(await json('health')).toMatchObject({ status: 200, json: { ok: false } })
})
