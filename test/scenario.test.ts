import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorageFromFile, type Storage } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from './setup/databases.ts'
import { silent } from './setup/silent.ts'

/** The rows of the reference's table "When to use each backend", as a user writes them. */
const scenarios: Record<string, { keepsRows: boolean; keepsBlobs: boolean; yaml: string }> = {
  development: { keepsRows: false, keepsBlobs: false, yaml: 'name: agent' },
  'simple production': {
    keepsRows: true,
    keepsBlobs: true,
    yaml: `
storage:
  cache:
    type: redis
    url: $REDIS_URL
    options: { keyPrefix: $REDIS_PREFIX }
  database:
    type: sqlite
    path: "\${{dexto.agent_dir}}/data/dexto.db"
  blobStore:
    type: local
    storePath: "\${{dexto.agent_dir}}/data/blobs"`,
  },
  'scalable production': {
    keepsRows: true,
    keepsBlobs: true,
    yaml: `
storage:
  cache:
    type: redis
    url: $REDIS_URL
    maxConnections: 100
    options: { keyPrefix: $REDIS_PREFIX }
  database:
    type: postgres
    connectionString: $POSTGRES_CONNECTION_STRING
    maxConnections: 25
  blobStore:
    type: local
    storePath: "\${{dexto.agent_dir}}/blobs"
    cleanupAfterDays: 60`,
  },
  testing: {
    keepsRows: true,
    keepsBlobs: false,
    yaml: `
storage:
  cache:
    type: in-memory
  database:
    type: sqlite
    database: agent.sqlite
  blobStore:
    type: in-memory`,
  },
}

describe.each(Object.entries(scenarios))('%s', (_name, { keepsRows, keepsBlobs, yaml }) => {
  it('keeps what it promises when an agent works for a day and opens the storage again the next day', async () => {
    const file = join(freshDirectory(), 'agent.yml')
    writeFileSync(file, yaml)
    const env = {
      REDIS_URL: redisUrl(),
      REDIS_PREFIX: redisPrefix(),
      POSTGRES_CONNECTION_STRING: await freshPostgres(),
    }
    const open = () => openStorageFromFile(file, { env, logger: silent })

    let uri: string
    {
      await using storage = await open()
      uri = await firstDay(storage)
    }
    await using storage = await open()
    if (keepsRows) await secondDay(storage)
    else expect((await storage.sessions.list()).items).toEqual([])
    expect(await storage.blobs.exists(uri)).toBe(keepsBlobs)
    if (keepsBlobs) expect(await storage.blobs.text(uri)).toBe('Oslo, 9:04')
  })
})

/** Uses every repository. Returns the URI of the blob that it stores. */
async function firstDay(storage: Storage): Promise<string> {
  expect(await storage.health()).toMatchObject({
    ok: true,
    cache: { type: storage.config.cache.type },
    database: { type: storage.config.database.type },
    blobStore: { type: storage.config.blobStore.type },
  })

  // The read before the first append caches the absence of the session. The repeated append changes nothing.
  expect(await storage.sessions.get('trip')).toBeUndefined()
  const ticket = await storage.blobs.put(Buffer.from('Oslo, 9:04'), { name: 'ticket.txt' })
  const messages = [
    { id: 'm1', role: 'user', content: 'When does the train leave?' },
    { id: 'm2', role: 'assistant', content: [{ type: 'file', uri: ticket.uri }] },
  ]
  await storage.messages.append('trip', messages)
  await storage.messages.append('trip', messages)
  expect((await storage.sessions.get('trip'))?.version).toBe(1)
  await storage.sessions.update('trip', { title: 'Trip to Oslo', ownerId: 'ada' })
  await storage.sessions.mergeMetadata('trip', { train: '9:04' })
  expect(await storage.sessions.get('trip')).toMatchObject({ title: 'Trip to Oslo', metadata: { train: '9:04' } })
  expect((await storage.messages.latest('trip', 10)).map(({ seq }) => seq)).toEqual([1, 2])
  expect(await storage.blobs.text(ticket.uri)).toBe('Oslo, 9:04')

  // A transaction is committed as a whole or not at all.
  const undone = storage.transaction(async (tx) => {
    await tx.messages.append('trip', { role: 'user', content: 'Cancel it.' })
    await tx.kv.set('booking', 'none')
    throw new Error('changed my mind')
  })
  await expect(undone).rejects.toThrow('changed my mind')
  expect(await storage.kv.get('booking')).toBeUndefined()
  await storage.transaction(async (tx) => {
    await tx.messages.append('trip', { id: 'm3', role: 'user', content: 'Book it.' })
    await tx.kv.set('booking', { train: '9:04' })
  })
  expect(await storage.kv.get('booking')).toEqual({ train: '9:04' })

  // A tool requests an approval, gets it, runs once and stores its state.
  await storage.approvals.request({ id: 'a1', sessionId: 'trip', type: 'pay', request: { amount: 400 } })
  expect(await storage.approvals.respond({ id: 'a1', decision: 'approved' })).toMatchObject({ status: 'created' })
  const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  const { record } = await storage.toolExecutions.start({ identity, toolName: 'pay', input: { amount: 400 } })
  await storage.toolExecutions.complete(record.executionId, { paid: true })
  await storage.toolState.set('pay', 'last', 400)
  await storage.toolPreferences.allow('search')
  await storage.toolPreferences.setPreferences({ disabled: ['shell'] }, 'trip')
  await storage.events.append({ type: 'paid', sessionId: 'trip', payload: { amount: 400 } })

  await storage.memories.create({ content: 'Prefers a window seat', tags: ['travel'] })
  await storage.prompts.save({ name: 'system', content: 'You book trains.' })
  await storage.workspaces.save({ id: 'w', path: '/home/ada' })
  await storage.workspaces.setCurrent('w')
  await storage.lists.append('todo', 'pack', 'sleep')
  await storage.queues.push('trip', 'outgoing', { id: 'q1', text: 'Booked.' })

  await storage.cache.set('weather', 'rain', { ttlSeconds: 60 })
  expect(await storage.cache.get('weather')).toBe('rain')
  for (const { error } of await storage.maintain()) expect(error).toBeUndefined()
  await expectEverything(storage)
  expect((await storage.stats()).cache.hits).toBeGreaterThan(0)
  return ticket.uri
}

/** Expects everything from the first day, then forks and deletes the session. */
async function secondDay(storage: Storage): Promise<void> {
  await expectEverything(storage)
  await storage.messages.append('trip', { role: 'assistant', content: 'Booked.' })
  const fork = await storage.sessions.fork('trip', { title: 'Another day', throughSeq: 1 })
  expect(fork).toMatchObject({ parentId: 'trip', messageCount: 1 })
  expect((await storage.sessions.list()).items.map(({ id }) => id).sort()).toEqual([fork.id, 'trip'].sort())
  expect(await storage.sessions.delete('trip')).toBe(true)
  expect(await storage.sessions.get('trip')).toBeUndefined()
  expect(await storage.toolPreferences.getPreferences('trip')).toBeUndefined()
  expect(await storage.messages.latest('trip', 10)).toEqual([])
}

async function expectEverything(storage: Storage): Promise<void> {
  const { items } = await storage.messages.list('trip')
  expect(items.map(({ id, seq }) => [id, seq])).toEqual([
    ['m1', 1],
    ['m2', 2],
    ['m3', 3],
  ])
  expect((await storage.sessions.list({ ownerId: 'ada' })).items).toMatchObject([{ id: 'trip', messageCount: 3 }])
  expect(await storage.kv.get('booking')).toEqual({ train: '9:04' })
  expect(await storage.approvals.get('a1')).toMatchObject({ response: { decision: 'approved' } })
  expect(await storage.toolState.get('pay', 'last')).toBe(400)
  expect(await storage.toolPreferences.isAllowed('search', 'trip')).toBe(true)
  expect(await storage.toolPreferences.getPreferences('trip')).toEqual({ autoApproved: [], disabled: ['shell'] })
  expect((await storage.events.list({ sessionId: 'trip' })).items).toMatchObject([{ type: 'paid' }])
  expect((await storage.memories.list({ tags: ['travel'] })).items).toMatchObject([
    { content: 'Prefers a window seat' },
  ])
  expect(await storage.prompts.get('system')).toMatchObject({ content: 'You book trains.' })
  expect(await storage.workspaces.getCurrent()).toMatchObject({ id: 'w' })
  expect(await storage.lists.range('todo', 0, 10)).toEqual(['pack', 'sleep'])
  expect((await storage.queues.list('trip', 'outgoing')).items).toMatchObject([{ id: 'q1' }])
}
