import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFoundBy } from '../../src/search/highlights.ts'
import { parseQuery } from '../../src/search/query.ts'
import { tokenize } from '../../src/search/tokenizer.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { random, randomQuery, randomText } from './texts.ts'

const DOCUMENTS = rounds(500, 2000)
const SESSIONS = 20
const next = random(42)
const texts = Array.from({ length: DOCUMENTS }, () => randomText(next))
const sessionOf = (i: number) => `s${i % SESSIONS}`
const queries = Array.from({ length: rounds(250, 10_000) }, () => randomQuery(next))

let storages: [name: string, storage: Storage][] = []
let postgresUrl = ''

beforeAll(async () => {
  postgresUrl = await freshPostgres()
  const options = { search: true }
  const configurations: [string, StorageConfig['database']][] = [
    ['in-memory', { type: 'in-memory', options }],
    ['SQLite', { type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options }],
    ['PostgreSQL', { type: 'postgres', url: postgresUrl, options }],
  ]
  for (const [name, database] of configurations) {
    const storage = await openStorage({ database }, quiet)
    storages.push([name, storage])
    for (const [i, text] of texts.entries()) {
      const content =
        i % 3 === 0
          ? text
          : [
              { type: 'text', text },
              { type: 'tool-call', input: 'hidden' },
            ]
      await storage.messages.append(sessionOf(i), { id: `m${i}`, role: i % 2 ? 'user' : 'assistant', content })
    }
  }
}, 120_000)

afterAll(async () => {
  for (const [, storage] of storages) await storage.close()
  storages = []
})

/** What is found without any index: by looking at every text. */
function expected(query: string, fits: (i: number) => boolean = () => true): string[] {
  const parsed = parseQuery(query)
  return texts.flatMap((text, i) => (fits(i) && isFoundBy(text, parsed) ? [`m${i}`] : [])).reverse()
}

test('every database finds the same messages in the same order, and no query is an error', async () => {
  let hits = 0
  for (const [n, query] of queries.entries()) {
    const sessionId = n % 5 === 0 ? sessionOf(n) : undefined
    const role = n % 7 === 0 ? 'user' : undefined
    const all = expected(query, (i) => (!sessionId || sessionOf(i) === sessionId) && (!role || i % 2 === 1))
    hits += all.length
    const size = 1 + (n % 40)
    for (const [name, { messages }] of storages) {
      const found: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await messages.search(query, { sessionId, role, limit: size, cursor })
        found.push(...page.items.map(({ message }) => message.id))
        cursor = page.nextCursor
        if (cursor === undefined || found.length > 3 * size) break
      }
      const wanted = all.slice(0, found.length > 3 * size ? found.length : all.length)
      expect(found, `${name}: ${JSON.stringify({ query, sessionId, role })}`).toEqual(wanted)
    }
  }
  expect(hits).toBeGreaterThan(queries.length) // the queries find something
}, 600_000)

test('every database finds the same by relevance', async () => {
  for (const query of queries.slice(0, rounds(100, 1000))) {
    for (const [name, { messages }] of storages) {
      const found: string[] = []
      const scores: number[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await messages.search(query, { order: 'relevance', limit: 300, cursor })
        for (const { message, score = Number.NaN } of page.items) {
          found.push(message.id)
          scores.push(score)
        }
        cursor = page.nextCursor
        if (cursor === undefined) break
      }
      expect(found.sort(), `${name}: ${query}`).toEqual(expected(query).sort())
      expect(scores).toEqual([...scores].sort((a, b) => b - a))
    }
  }
}, 120_000)

test.each([
  ['required', 'invoice '],
  ['excluded', 'invoice -x '],
  ['alternatives', 'invoice OR '],
  ['phrases', 'invoice -"a b" '],
])('a query of as many %s as fit is no error', async (_, part) => {
  const query = part.repeat(1000 / part.length)
  for (const [name, { messages }] of storages) {
    const found = (await messages.search(query, { limit: 1000 })).items.map(({ message }) => message.id)
    expect(found, name).toEqual(expected(query))
    expect(found).not.toEqual([])
  }
})

test('a query of exclusions is no error', async () => {
  const query = `invoice${' -x'.repeat(330)}`
  for (const [name, { messages, sessions }] of storages) {
    const found = (await messages.search(query, { limit: 1000 })).items.map(({ message }) => message.id)
    expect(found, name).toEqual(expected(query))
    expect((await sessions.search(query)).items.length).toBeGreaterThan(0)
  }
})

test('any number of marks on a letter takes no longer than as many letters', () => {
  const begun = performance.now()
  const [token] = tokenize(`a${'\u0301'.repeat(100_000)}${'\u0323'.repeat(100_000)} b`)
  expect(token).toEqual({ text: 'a', start: 0, end: 200_001, kind: 'word' })
  expect(performance.now() - begun).toBeLessThan(2000) // it was half a minute
})

test('what is highlighted is what was found', async () => {
  for (const query of ['東京', 'strasse', 'invoice', '"window seat"', 'fi*', 'istanbul OR 你好']) {
    for (const [, { messages }] of storages) {
      const { items } = await messages.search(query, { limit: 5 })
      for (const { text, highlights } of items) {
        expect(highlights).not.toEqual([])
        for (const [start, end] of highlights) expect(isFoundBy(text.slice(start, end), parseQuery(query))).toBe(true)
      }
    }
  }
})

/** The parsers of the databases themselves, on the texts that they accept. */
const naive: Record<string, (query: string) => Promise<Set<string>>> = {
  async unicode61(query) {
    using db = disposable(new BetterSqlite3(':memory:'))
    db.exec(`create virtual table t using fts5(text, tokenize='unicode61')`)
    const insert = db.prepare('insert into t (rowid, text) values (?, ?)')
    for (const [i, text] of texts.entries()) insert.run(i, text)
    const rows = db.prepare('select rowid from t where t match ?').pluck().all(`"${query}"`)
    return new Set(rows.map((i) => `m${i}`))
  },
  async 'to_tsvector(simple)'(query) {
    return inPostgres(
      (sql) => sql`
      select id from naive where to_tsvector('simple', text) @@ phraseto_tsquery('simple', ${query})`,
    )
  },
  async like(query) {
    return inPostgres((sql) => sql`select id from naive where text ilike ${`%${query}%`}`)
  },
}

function disposable<T extends { close(): void }>(db: T): T & Disposable {
  return Object.assign(db, { [Symbol.dispose]: () => db.close() })
}

async function inPostgres(select: (sql: postgres.Sql) => Promise<Iterable<postgres.Row>>): Promise<Set<string>> {
  const sql = postgres(postgresUrl, { max: 1, onnotice: () => {} })
  try {
    await sql`create table if not exists naive (id text, text text)`
    if ((await sql`select 1 from naive limit 1`).length === 0) {
      const rows = texts.map((text, i) => ({ id: `m${i}`, text: text.replaceAll('\0', ' ').toWellFormed() }))
      for (let i = 0; i < rows.length; i += 500) await sql`insert into naive ${sql(rows.slice(i, i + 500))}`
    }
    return new Set(Array.from(await select(sql), ({ id }) => String(id)))
  } finally {
    await sql.end()
  }
}

test.each(Object.entries(naive))('%s would not find the same', async (_, search) => {
  const differences = []
  for (const query of ['東京', '你好', '안녕', 'example', 'strasse', 'v1', 'seat', 'istanbul', 'lodz', 'ครับ']) {
    const found = await search(query)
    if (expected(query).some((id) => !found.has(id))) differences.push(query)
  }
  expect(differences.length).toBeGreaterThan(2)
})
