import { importInto, openStorage, type Storage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { backends, quiet } from './backends.ts'

const said = (items: { memory: { content: string } }[]) => items.map(({ memory }) => memory.content)
const spoken = (items: { message: { content: unknown } }[]) => items.map(({ message }) => message.content)
const user = (content: string) => ({ role: 'user', content })

/** A model that counts the texts it has embedded. */
function counted() {
  const model = wordEmbedding()
  const texts: string[] = []
  const embed: typeof model.embed = (given, call) => {
    if (call.purpose === 'document') texts.push(...given)
    return model.embed(given, call)
  }
  return { model: { ...model, embed }, texts }
}

describe.each(Object.entries(backends))('on %s', (_, configure) => {
  const open = async (): Promise<Storage> => openStorage(await configure(), { ...quiet, embedding: wordEmbedding() })

  test('memories.recall() finds by meaning, by words and by both', async () => {
    await using storage = await open()
    for (const content of ['Ada likes window seats', 'Ada travels by train', 'Bob pays by invoice']) {
      await storage.memories.create({ content })
    }
    await storage.embedPending()
    const ranks = { vector: { vector: 1 }, text: { text: 1 }, hybrid: { text: 1, vector: 1 } }
    for (const mode of ['vector', 'text', 'hybrid'] as const) {
      const { items, incomplete } = await storage.memories.recall('Which seats does she like?', { mode, limit: 1 })
      expect(said(items), mode).toEqual(['Ada likes window seats'])
      expect([items[0]?.ranks, incomplete], mode).toEqual([ranks[mode], undefined])
    }
    const { items } = await storage.memories.recall('window seats')
    expect(items[0]?.score).toBe(2 / 61)
    expect((await storage.memories.recall('zebra', { mode: 'vector', minScore: 0.5 })).items).toEqual([])
    expect((await storage.memories.recall('...')).items).toEqual(
      await storage.memories.recall('... ').then((r) => r.items),
    )
    expect((await storage.memories.recall('')).items).toEqual([])
  })

  test.each([
    ['アダは窓側の席が好きです', 'アダはどの席が好きですか'],
    ['我喜欢靠窗的座位', '你喜欢靠窗吗'],
    ['ราคาตั๋วเครื่องบิน', 'ตั๋วราคาเท่าไร'],
    ['내일 회의는 세 시에 시작합니다', '회의가 언제야'],
    ['The --verbose flag prints more', 'what is --verbose for'],
    ['The fridge holds -5 degrees', '-5?'],
    ['A screen of 27 inches', 'is a 24" or the other screen better'],
    ['Release v1.2.3 is out', 'what is new in v1.2.3'],
  ])('by words, %j is found by %j', async (content, query) => {
    await using storage = await open()
    await storage.memories.create({ content: 'nothing of this' })
    await storage.memories.create({ content })
    const { items } = await storage.memories.recall(query, { mode: 'text' })
    expect(said(items)[0]).toBe(content)
  })

  test('a query of as many words as fit is no error', async () => {
    await using storage = await open()
    await storage.memories.create({ content: '東京 a' })
    const characters = Array.from({ length: 1000 }, (_, n) => String.fromCodePoint(0x4e00 + n)).join('')
    for (const query of [`東京${characters}`, `a ${characters.replaceAll(/(?=.)/g, ' ')}`, 'a '.repeat(5000)]) {
      expect(said((await storage.memories.recall(query, { mode: 'text' })).items)).toEqual(['東京 a'])
    }
  })

  test('memories.recall() finds what meets the filters', async () => {
    await using storage = await open()
    const create = (n: number, tags: string[], source: 'user' | 'system') =>
      storage.memories.create({ content: `Window seat ${n}`, tags, metadata: { source } })
    await create(1, ['travel'], 'user')
    await create(2, ['travel', 'ada'], 'system')
    await create(3, [], 'system')
    await storage.embedPending()
    for (const mode of ['vector', 'text', 'hybrid'] as const) {
      const found = async (options: object) =>
        said((await storage.memories.recall('window seat', { mode, ...options })).items).sort()
      expect(await found({})).toHaveLength(3)
      expect(await found({ tags: ['travel', 'ada'] })).toEqual(['Window seat 1', 'Window seat 2'])
      expect(await found({ tags: ['travel', 'ada'], match: 'all' })).toEqual(['Window seat 2'])
      expect(await found({ source: 'system', tags: ['travel'] })).toEqual(['Window seat 2'])
    }
  })

  test('messages.recall() finds what meets the filters, with its neighbours', async () => {
    await using storage = await open()
    await storage.messages.append('chat', [
      user('Hello'),
      user('The invoice is wrong'),
      { role: 'assistant', content: 'Sorry' },
    ])
    await storage.messages.append('other', { role: 'assistant', content: [{ type: 'text', text: 'An invoice' }] })
    await storage.messages.append('other', {
      role: 'tool',
      content: [{ type: 'tool-result', output: 'nothing to embed' }],
    })
    await storage.embedPending()
    expect((await storage.stats()).embeddings).toEqual({ model: 'words/256', models: { 'words/256': 5 }, pending: 0 })
    for (const mode of ['vector', 'hybrid'] as const) {
      const { items } = await storage.messages.recall('What about the invoice?', {
        mode,
        sessionId: 'chat',
        role: 'user',
        limit: 1,
        context: { before: 1, after: 1 },
      })
      expect(spoken(items)).toEqual(['The invoice is wrong'])
      expect(items[0]?.context?.before.map(({ content }) => content)).toEqual(['Hello'])
      expect(items[0]?.context?.after.map(({ content }) => content)).toEqual(['Sorry'])
      expect(
        (await storage.messages.recall('invoice', { mode, role: 'assistant', limit: 1 })).items[0]?.message.sessionId,
      ).toBe('other')
    }
  })

  test('what is written again before it is embedded is embedded once', async () => {
    const model = wordEmbedding()
    let begin = () => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const embed: typeof model.embed = async (texts, call) => {
      await begun
      return model.embed(texts, call)
    }
    await using storage = await openStorage(await configure(), { ...quiet, embedding: { ...model, embed } })
    await storage.memories.create({ content: 'The model is busy' })
    const { id } = await storage.messages.append('chat', user('It is'))
    for (let i = 0; i < 20; i++) await storage.messages.update('chat', id, { content: `It is ${i} o'clock` })
    begin()
    await storage.embedPending()
    expect((await storage.stats()).embeddings).toMatchObject({ models: { 'words/256': 2 }, pending: 0 })
  })

  test('messages.recall() returns the messages beside a hit, though others have a session of its id', async () => {
    await using storage = await open()
    await storage.messages.append('chat', [user('Hello of nobody'), user('nothing'), user('Bye of nobody')])
    const { messages } = storage.scope({ ownerId: 'ada' })
    await messages.append('chat', [user('Hello of Ada'), user('The invoice is wrong'), user('Bye of Ada')])
    await storage.embedPending()
    for (const mode of ['vector', 'text'] as const) {
      const context = { before: 1, after: 1 }
      const { items } = await storage.messages.recall('invoice', { mode, limit: 1, context })
      expect(items[0]?.context?.before.map(({ content }) => content)).toEqual(['Hello of Ada'])
      expect(items[0]?.context?.after.map(({ content }) => content)).toEqual(['Bye of Ada'])
    }
  })

  test('what is changed, removed or expired is not found by its old vector', async () => {
    let now = Date.now()
    await using storage = await openStorage(await configure(), {
      ...quiet,
      embedding: wordEmbedding(),
      now: () => new Date(now),
    })
    const { id } = await storage.memories.create({ content: 'The password is zebra' })
    await storage.messages.append(
      'chat',
      [1, 2, 3, 4].map((n) => ({ id: `m${n}`, ...user(`zebra ${n}`) })),
    )
    await storage.sessions.create({ id: 'short', expiresAt: new Date(now + 60_000) })
    await storage.messages.append('short', user('zebra 5'))
    await storage.embedPending()
    const recalled = async () => {
      const messages = await storage.messages.recall('zebra', { mode: 'vector', minScore: 0.3 })
      const memories = await storage.memories.recall('zebra password', { mode: 'vector', minScore: 0.3 })
      return [...said(memories.items), ...spoken(messages.items).map(String)].sort()
    }
    expect(await recalled()).toEqual(['The password is zebra', 'zebra 1', 'zebra 2', 'zebra 3', 'zebra 4', 'zebra 5'])
    now += 61_000
    await storage.memories.update(id, { content: 'It was removed' })
    await storage.messages.update('chat', 'm1', { content: 'nothing' })
    await storage.messages.put('chat', [{ id: 'm2', ...user('no more') }])
    await storage.messages.delete('chat', ['m3'])
    expect(await recalled()).toEqual(['zebra 4'])
    await storage.embedPending()
    expect(await recalled()).toEqual(['zebra 4'])
    expect(said((await storage.memories.recall('removed', { mode: 'vector', minScore: 0.3 })).items)).toEqual([
      'It was removed',
    ])
    await storage.messages.truncate('chat', { afterSeq: 3 })
    await storage.memories.delete(id)
    expect(await recalled()).toEqual([])
    await storage.messages.clear('chat')
    expect((await storage.stats()).embeddings?.models).toEqual({ 'words/256': 1 }) // of the session that has expired
  })

  test('a scope recalls only what its owner has, and a session takes its vectors to a new owner', async () => {
    await using storage = await open()
    const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
    for (const scope of [ada, bob]) {
      await scope.memories.create({ content: `A secret of ${scope.ownerId}` })
      await scope.messages.append('chat', user(`The secret of ${scope.ownerId}`))
    }
    await ada.messages.append('gift', user('A secret that is given'))
    await storage.embedPending()
    for (const mode of ['vector', 'text', 'hybrid'] as const) {
      expect(said((await ada.memories.recall('secret of bob', { mode })).items)).toEqual(['A secret of ada'])
      expect(spoken((await bob.messages.recall('secret of ada', { mode })).items)).toEqual(['The secret of bob'])
      expect((await storage.messages.recall('secret', { mode })).items).toHaveLength(3)
    }
    await storage.sessions.update('gift', { ownerId: 'bob' })
    expect(spoken((await bob.messages.recall('given', { mode: 'vector', limit: 1 })).items)).toEqual([
      'A secret that is given',
    ])
    const { rows } = await storage.erase({ ownerId: 'bob' })
    expect(rows).toMatchObject({ memories: 1, messages: 2, messageEmbeddings: 2, memoryEmbeddings: 1 })
    expect((await storage.stats()).embeddings?.models).toEqual({ 'words/256': 2 })
  })

  test('a fork copies the vectors, and equal texts of a batch are embedded once', async () => {
    const { model, texts } = counted()
    await using storage = await openStorage(await configure(), { ...quiet, embedding: model })
    await storage.messages.append('chat', [user('Oslo'), user('Bergen'), user('Oslo')])
    await storage.embedPending()
    expect(texts.sort()).toEqual(['Bergen', 'Oslo'])
    await storage.sessions.fork('chat', { id: 'branch', throughSeq: 2 })
    expect(await storage.embedPending()).toBe(0)
    expect(texts).toHaveLength(2)
    const { items } = await storage.messages.recall('Bergen', { mode: 'vector', sessionId: 'branch' })
    expect(spoken(items)).toEqual(['Bergen', 'Oslo'])
  })

  test('a transaction recalls what it has written by its words, and by vectors that the program has', async () => {
    await using storage = await open()
    await storage.memories.create({ content: 'Ada likes window seats' })
    await storage.embedPending()
    const [vector] = await wordEmbedding().embed(['window seats'], {
      purpose: 'query',
      signal: new AbortController().signal,
    })
    await storage.transaction(async (tx) => {
      await tx.memories.create({ content: 'Bob likes window seats' })
      expect((await tx.memories.recall('window', { mode: 'text' })).items).toHaveLength(2)
      await expect(tx.memories.recall('window')).rejects.toMatchObject({ code: 'INVALID_STATE' })
      const { items, incomplete } = await tx.memories.recall('', { vector })
      expect([said(items), incomplete]).toEqual([['Ada likes window seats'], true])
    })
    const failed = storage.transaction(async (tx) => {
      await tx.memories.create({ content: 'Never stored' })
      throw new Error('undone')
    })
    await expect(failed).rejects.toThrow('undone')
    await storage.embedPending()
    expect((await storage.stats()).embeddings).toMatchObject({ models: { 'words/256': 2 }, pending: 0 })
    await expect(storage.transaction(() => storage.embedPending())).rejects.toMatchObject({
      code: 'TRANSACTION_MISUSE',
    })
  })

  test('a changed model embeds anew, and finds nothing by the vectors of another', async () => {
    const config = await configure()
    if (config.database?.type === 'in-memory') return // it ends with its storage
    await using first = await openStorage(config, { ...quiet, embedding: wordEmbedding() })
    await first.memories.create({ content: 'Ada likes window seats' })
    await first.embedPending()
    await using second = await openStorage(config, { ...quiet, embedding: wordEmbedding({ dimensions: 64 }) })
    const recalled = async () => second.memories.recall('window seats', { mode: 'vector' })
    expect(await recalled()).toEqual({ items: [], incomplete: true })
    expect((await second.stats()).embeddings).toEqual({ model: 'words/64', models: { 'words/256': 1 }, pending: 1 })
    await second.embedPending()
    expect(said((await recalled()).items)).toEqual(['Ada likes window seats'])
    // The first goes on with its own.
    expect(said((await first.memories.recall('window seats', { mode: 'vector' })).items)).toEqual([
      'Ada likes window seats',
    ])
    expect(await second.removeEmbeddings({ model: 'words/256' })).toBe(1)
    expect((await second.stats()).embeddings?.models).toEqual({ 'words/64': 1 })
    expect(await first.embedPending()).toBe(1)
  })

  test('an archive has no vectors: the storage that imports makes them again', async () => {
    await using storage = await open()
    await storage.memories.create({ content: 'Ada likes window seats' })
    await storage.embedPending()
    const archive = `${freshDirectory()}/archive`
    const { tables } = await storage.export(archive)
    expect(tables).toEqual({ memories: 1 })
    await using other = await open()
    await importInto(other, archive)
    expect((await other.stats()).embeddings).toMatchObject({ models: {}, pending: 1 })
    await other.maintain()
    expect(said((await other.memories.recall('window seats', { mode: 'vector' })).items)).toEqual([
      'Ada likes window seats',
    ])
  })

  test('what is not valid is INVALID_INPUT, and what is missing INVALID_STATE', async () => {
    await using storage = await open()
    const invalid: [unknown, object][] = [
      [5, {}],
      ['x', { mode: 'meaning' }],
      ['x', { vector: [1, 2, 3] }],
      ['x', { vector: new Array(256).fill(Number.NaN) }],
      ['x', { vector: new Array(256).fill(0) }],
      ['x', { vector: 'abc' }],
      ['x', { limit: 101 }],
      ['x', { minScore: 2 }],
      ['x', { mode: 'text', minScore: 0.5 }],
      ['x', { cursor: 'abc' }],
    ]
    for (const [query, options] of invalid) {
      const calls = [
        storage.memories.recall(query as string, options),
        storage.messages.recall(query as string, options),
      ]
      for (const call of calls)
        await expect(call, JSON.stringify(options)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    }
    await expect(storage.messages.recall('x', { context: { before: 101 } })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    })
    await using plain = await openStorage({ database: { type: 'in-memory' } }, quiet)
    for (const mode of ['vector', 'text', 'hybrid', undefined] as const) {
      await expect(plain.memories.recall('x', { mode })).rejects.toMatchObject({ code: 'INVALID_STATE' })
    }
    await expect(plain.embedPending()).rejects.toMatchObject({ code: 'INVALID_STATE' })
    expect((await plain.stats()).embeddings).toBeUndefined()
  })
})

test('openStorage() refuses a model that is not one', async () => {
  const model = wordEmbedding()
  for (const embedding of [
    { ...model, dimensions: 0 },
    { ...model, model: '' },
    { ...model, embed: 'https://models' },
    { ...model, batchSize: 0 },
    { ...model, url: 'https://models' },
  ]) {
    await expect(openStorage({}, { ...quiet, embedding: embedding as typeof model })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    })
  }
})
