import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BaseStore, Operation, SearchItem } from '@langchain/langgraph-checkpoint'
import fc from 'fast-check'
import { openStorage, type Storage, type StorageScope } from 'holdfast'
import { HoldfastStore, type StoreIndex } from 'holdfast/langgraph'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { cosine, ForgetfulReference, index, WordEmbeddings } from './langgraph-embedder.ts'

const WORDS = 'train seat window invoice oslo tea green black ticket hotel breakfast late early cheap fast'.split(' ')
const word = fc.constantFrom(...WORDS)
const text = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(' '))

/** Returns the keys of the vectors that are stored. */
async function vectorsOf({ kv }: Pick<StorageScope, 'kv'>): Promise<string[]> {
  return (await kv.namespace('langgraph-vectors').keys({ limit: 1000 })).items
}

const keysOf = (items: readonly { key: string }[]) => items.map(({ key }) => key)

eachDatabase((open) => {
  let storage: Storage
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())
  const createScope = () => storage.scope({ ownerId: randomUUID() })

  it('search() returns what a comparison by hand returns, among 500 items', async () => {
    const store = new HoldfastStore(createScope(), { index: { ...index, fields: ['said'] } })
    const texts = fc.sample(text, { numRuns: 500, seed: 7 })
    const puts = texts.map((said, n) => ({
      namespace: ['notes', n % 2 === 0 ? 'ann' : 'bob'],
      key: String(n).padStart(3, '0'),
      value: { said, n },
    }))
    await store.batch(puts)
    const query = 'an early train with a window seat'
    const scored = await Promise.all(puts.map(async (put) => ({ ...put, score: await cosine(query, put.value.said) })))
    const byHand = (isFound: (put: (typeof scored)[number]) => boolean) =>
      scored
        .filter(isFound)
        .sort((a, b) => b.score - a.score || (a.namespace < b.namespace ? -1 : a.key < b.key ? -1 : 1))
    const check = async (found: { key: string; score?: number }[], wanted: typeof scored) => {
      expect(found).toHaveLength(wanted.length)
      for (const [i, { key, score }] of found.entries()) {
        expect(score).toBeCloseTo(wanted[i]?.score ?? Number.NaN, 5)
        expect(score).toBeCloseTo(scored.find((one) => one.key === key)?.score ?? Number.NaN, 5)
      }
      expect(new Set(keysOf(found)).size).toBe(found.length)
    }
    await check(
      await store.search(['notes'], { query, limit: 500 }),
      byHand(() => true),
    )
    const ofBob = byHand(({ namespace }) => namespace[1] === 'bob')
    await check(await store.search(['notes', 'bob'], { query, limit: 30 }), ofBob.slice(0, 30))
    const filtered = byHand(({ value }) => value.n >= 100 && value.n < 300)
    const filter = { n: { $gte: 100, $lt: 300 } }
    const pages = [0, 40, 80, 120, 160, 200].map((offset) => store.search([], { query, filter, offset, limit: 40 }))
    await check((await Promise.all(pages)).flat(), filtered)
    expect(await store.search(['none'], { query })).toEqual([])
  })

  it("answers any operations as LangGraph's InMemoryStore does with the same model", async () => {
    const namespace = fc.array(fc.constantFrom('a', 'b', '東'), { minLength: 1, maxLength: 2 })
    const key = fc.constantFrom('k', 'x.y', 'c/d')
    const value = fc.record(
      { said: text, more: fc.array(fc.record({ line: text })), n: fc.nat(3) },
      { requiredKeys: ['n'] },
    )
    const paths = fc.constantFrom<(string[] | false)[]>(false, ['said'], ['more[*].line', 'n'], ['$'], ['{said,n}'], [])
    const operation: fc.Arbitrary<Operation> = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ namespace, key, value: fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null)) }),
      },
      fc.record({ namespace, key, value, index: paths }),
      fc.record({
        namespacePrefix: fc.array(fc.constantFrom('a', 'b'), { maxLength: 1 }),
        filter: fc.oneof(fc.constant({}), fc.record({ n: fc.nat(3) })),
        query: text,
        limit: fc.constant(50),
      }),
    )
    const fields = fc.constantFrom(undefined, ['said', 'more[*].line'])
    const answers = async (store: BaseStore, batches: Operation[][]) => {
      const all = []
      for (const batch of batches) {
        const results: unknown[] = await store.batch(batch)
        for (const result of results) {
          if (!Array.isArray(result)) continue
          const items = result.map(({ namespace, key, value, score }: SearchItem) => ({
            item: JSON.stringify([namespace, key, value]),
            score,
          }))
          all.push(items.sort((a, b) => (a.item < b.item ? -1 : 1)))
        }
      }
      return all
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(operation, { maxLength: 6 }), { maxLength: 10 }),
        fields,
        async (batches, fields) => {
          const own = { ...index, ...(fields && { fields }) }
          const reference = new ForgetfulReference({ index: own as never }) // LangChain's class has more than the model needs
          // Ours keeps vectors as 32-bit numbers.
          const expected = (await answers(reference, batches)).map((items) =>
            items.map(({ item, score }) => ({ item, score: score === undefined ? score : expect.closeTo(score, 5) })),
          )
          expect(await answers(new HoldfastStore(createScope(), { index: own }), batches)).toEqual(expected)
        },
      ),
      { numRuns: rounds(25, 1000) },
    )
  })

  it('another store finds by the same vectors, and one without a model changes nothing of them', async () => {
    const scope = createScope()
    await new HoldfastStore(scope, { index }).put(['a'], 'k', { said: 'green tea' })
    const second = storage.config.database.type === 'in-memory' ? undefined : await open()
    const other = new HoldfastStore(second?.scope({ ownerId: scope.ownerId }) ?? scope, { index })
    const [found] = await other.search([], { query: 'tea' })
    expect(found).toMatchObject({
      namespace: ['a'],
      key: 'k',
      value: { said: 'green tea' },
      score: expect.closeTo(0.6, 0),
    })
    const plain = await new HoldfastStore(scope).search([], { query: 'tea' })
    expect(plain.map((item) => 'score' in item)).toEqual([false])
    await second?.close()
  })

  it('items that are put again, deleted or not indexed leave no vector behind', async () => {
    const scope = createScope()
    const store = new HoldfastStore(scope, { index: { ...index, fields: ['said'] } })
    await store.put(['a'], 'k', { said: 'green tea' })
    await store.put(['a'], 'k', { said: 'black tea' })
    await store.put(['b', 'c'], 'k', { said: 'train' })
    expect(await vectorsOf(scope)).toHaveLength(2)
    expect((await store.search([], { query: 'black tea' }))[0]?.score).toBeCloseTo(1, 5)
    await store.put(['a'], 'k', { said: 'black tea' }, false)
    await store.put(['b', 'c'], 'k', { said: ' ' })
    expect(await vectorsOf(scope)).toEqual([])
    const many = Array.from({ length: 1200 }, (_, n) => ({
      namespace: ['m'],
      key: `${n}`,
      value: { said: `tea ${n}` },
    }))
    await store.batch([...many, { namespace: ['a'], key: 'k', value: null }])
    expect(await scope.kv.namespace('langgraph-vectors').clear()).toBe(1200)
    await store.batch(many)
    await store.batch(many.map((put) => ({ ...put, value: null })))
    expect(await vectorsOf(scope)).toEqual([])
    expect((await scope.kv.keys({ limit: 1000 })).items).toHaveLength(1)
    await store.delete(['b', 'c'], 'k')
    await store.delete(['b', 'c'], 'never')
    expect((await scope.kv.keys()).items).toEqual([])
  })

  it('a vector expires with its item', async () => {
    const scope = createScope()
    await new HoldfastStore(scope, { index, ttlSeconds: 3600 }).put(['a'], 'kept', { said: 'tea' })
    const [item] = (await scope.kv.namespace('langgraph').find()).items
    const [vector] = (await scope.kv.namespace('langgraph-vectors').entries()).items
    expect(Math.abs(Number(vector?.expiresAt) - Number(item?.expiresAt))).toBeLessThan(1000)
    const brief = new HoldfastStore(scope, { index, ttlSeconds: 0.2 })
    await brief.put(['a'], 'brief', { said: 'tea' })
    await sleep(300)
    expect(keysOf(await brief.search([], { query: 'tea' }))).toEqual(['kept'])
    expect(await vectorsOf(scope)).toHaveLength(1)
  })

  it.each<[string, Partial<StoreIndex>, RegExp]>([
    ['rejects', { embed: async () => Promise.reject(new Error('503')) }, /failed/],
    ['throws', { embed: () => { throw new Error('503') } }, /failed/], // biome-ignore format: one line
    ['hangs', { embed: () => new Promise(() => {}), timeoutMillis: 50 }, /did not answer within 50 ms/],
    [
      'answers with too few',
      { embed: async (texts) => texts.slice(1).map(() => new Array(64).fill(1)) },
      /instead of|without/,
    ],
    ['answers with another length', { embed: async (texts) => texts.map(() => [1, 2]) }, /a vector of 64 numbers/],
    ['answers with NaN', { embed: async (texts) => texts.map(() => new Array(64).fill(Number.NaN)) }, /finite/],
    ['answers with Infinity', { embed: async (texts) => texts.map(() => new Array(64).fill(Infinity)) }, /finite/],
    ['answers with texts', { embed: async (texts) => texts.map(() => new Array(64).fill('1')) as never }, /finite/],
    ['answers with null', { embed: async () => null as never }, /no list|failed|without/],
  ])('put() writes nothing when the model %s, and may be repeated', async (_, model, message) => {
    const scope = createScope()
    const failing = new HoldfastStore(scope, { index: { dims: 64, ...model } })
    const store = new HoldfastStore(scope, { index })
    await store.put(['a'], 'k', { said: 'before' })
    const puts = ['k', 'l'].map((key) => ({ namespace: ['a'], key, value: { said: key } }))
    const error = { code: 'EMBEDDING_FAILED', retryable: true, message: expect.stringMatching(message) }
    await expect(failing.batch([...puts, { namespace: ['b'], key: 'k', value: null }])).rejects.toMatchObject(error)
    await expect(failing.search([], { query: 'tea' })).rejects.toMatchObject(error)
    const [left, ...others] = await store.search([])
    expect([left?.value, others]).toEqual([{ said: 'before' }, []])
    expect(await vectorsOf(scope)).toHaveLength(1)
    await store.batch(puts)
    expect((await store.search([], { query: '"said": "l"' }))[0]?.key).toBe('l')
  })

  it('vectors of another model, of other dimensions or of an older value are never compared', async () => {
    const scope = createScope()
    const [one, two] = ['one', 'two'].map((model) => new HoldfastStore(scope, { index: { ...index, model } }))
    if (one === undefined || two === undefined) throw new Error('two stores')
    await one.put(['a'], 'k', { said: 'tea' })
    const scores = async (store: HoldfastStore) => (await store.search([], { query: 'tea' })).map(({ score }) => score)
    expect(await scores(one)).toEqual([expect.any(Number)])
    expect(await scores(two)).toEqual([undefined])
    const embed = async (texts: string[]) => texts.map(() => [1, 0])
    expect(await scores(new HoldfastStore(scope, { index: { dims: 2, embed, model: 'one' } }))).toEqual([undefined])
    await two.batch(
      (await two.search([], { limit: 1000 })).map(({ namespace, key, value }) => ({ namespace, key, value })),
    )
    expect(await scores(two)).toEqual([expect.any(Number)])
    expect(await scores(one)).toEqual([undefined])
    await new HoldfastStore(scope).put(['a'], 'k', { said: 'coffee' }) // without a model
    expect(await scores(two)).toEqual([undefined])
    const named = Object.assign(new WordEmbeddings(), { model: 'two' })
    await two.put(['a'], 'k', { said: 'coffee' })
    expect(await scores(new HoldfastStore(scope, { index: { dims: 64, embeddings: named } }))).toEqual([
      expect.any(Number),
    ])
  })

  it('what another owner has never appears, and the erasure of an owner removes vectors', async () => {
    const [ann, bob] = [createScope(), createScope()]
    await new HoldfastStore(ann, { index }).put(['a'], 'k', { said: 'tea of Ann' })
    await new HoldfastStore(bob, { index }).put(['a'], 'k', { said: 'train of Bob' })
    const found = await new HoldfastStore(bob, { index }).search([], { query: 'tea of Ann' })
    expect(found.map(({ value }) => value)).toEqual([{ said: 'train of Bob' }])
    expect(found[0]?.score).toBeLessThan(0.9)
    expect(await storage.erase({ ownerId: ann.ownerId })).toMatchObject({ rows: { kv: 2 } })
    expect(await vectorsOf(bob)).toHaveLength(1)
  })

  it('items without a vector come last, page by page', async () => {
    const store = new HoldfastStore(createScope(), { index })
    for (const key of ['a', 'b', 'c', 'd']) await store.put(['n'], key, { said: key }, key < 'c' ? undefined : false)
    const pages = [0, 1, 2, 3, 4].map((offset) => store.search(['n'], { query: 'b', offset, limit: 1 }))
    expect((await Promise.all(pages)).map(([item]) => [item?.key, typeof item?.score])).toEqual([
      ['b', 'number'],
      ['a', 'number'],
      ['c', 'undefined'],
      ['d', 'undefined'],
      [undefined, 'undefined'],
    ])
    expect(keysOf(await store.search(['n'], { query: ' ' }))).toEqual(['a', 'b', 'c', 'd'])
  })

  it('a transaction never calls the model, and rolls back vectors with items', async () => {
    const scope = createScope()
    const store = new HoldfastStore(scope, { index })
    await store.put(['a'], 'k', { said: 'tea' })
    const rollback = scope.transaction(async (tx) => {
      const inside = new HoldfastStore(tx, { index })
      await expect(inside.put(['a'], 'l', { said: 'tea' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
      await expect(inside.search(['a'], { query: 'tea' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
      await inside.put(['a'], 'l', { said: 'tea' }, false)
      await inside.delete(['a'], 'k')
      expect(keysOf(await inside.search(['a']))).toEqual(['l'])
      expect(await vectorsOf(tx)).toEqual([])
      throw new Error('undo')
    })
    await expect(rollback).rejects.toThrow('undo')
    expect((await store.search(['a'], { query: 'tea' })).map(({ key, score }) => [key, typeof score])).toEqual([
      ['k', 'number'],
    ])
  })

  it('refuses an index, paths and values that are not valid', async () => {
    const refuse = (wrong: object) => {
      const made = () => new HoldfastStore(storage, { index: { ...index, ...wrong } })
      expect(made).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
    }
    for (const dims of [0, 1.5, 8193, '64']) refuse({ dims })
    for (const embeddings of [undefined, null, {}, { embedQuery() {} }]) refuse({ embeddings })
    for (const wrong of [{ fields: 'said' }, { fields: [1] }, { model: '' }, { timeoutMillis: 0 }]) refuse(wrong)
    expect(() => new HoldfastStore({ kv: storage.kv }, { index })).toThrow('storage: must have the method transaction')
    const store = new HoldfastStore(createScope(), { index })
    for (const [value, paths] of [[{ said: 'tea' }, 'said'], [{ at: new Date() }], [{ said: 1n }]] as never[][]) {
      await expect(store.put(['a'], 'k', value ?? {}, paths)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    }
    expect(await store.search([])).toEqual([])
  })
})

it('an item and its vectors are there together, whoever puts and deletes at once', async () => {
  const database = { type: 'postgres' as const, url: await freshPostgres() }
  await using one = await openStorage({ database }, quiet)
  await using two = await openStorage({ database }, quiet)
  const [first, second] = [one, two].map((storage) => new HoldfastStore(storage, { index }))
  for (let round = 0; round < rounds(100, 2000); round++) {
    const keys = ['a', 'b', 'c'].map((key) => `${key}${round}`)
    const puts = keys.map((key) => ({ namespace: ['n'], key, value: { said: key } }))
    const removals = puts.map((put) => ({ ...put, value: null }))
    const calls = [
      first?.batch(puts),
      second?.batch(removals.toReversed()),
      first?.delete(['n'], keys[0] ?? ''),
      second?.put(['n'], keys[0] ?? '', {}),
    ]
    await Promise.all(calls)
  }
  const items = (await first?.search([], { limit: 20_000, query: 'a' })) ?? []
  expect(items.filter(({ score }) => score === undefined)).toEqual([])
  const entries: string[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await one.kv.keys({ limit: 1000, cursor })
    entries.push(...page.items)
    cursor = page.nextCursor
    if (cursor === undefined) break
  }
  expect(entries).toHaveLength(items.length * 2)
})
