import { and, asc, eq, isNotNull, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { bytesOfVector, similarityOf, vectorOfBytes } from '../../search/vectors.ts'

/** One of the tables of embeddings, with the columns that name a text. */
export interface VectorTable {
  rows: PgTable & { ownerId: PgColumn; model: PgColumn; vector: PgColumn }
  key: readonly PgColumn[]
  /** The name of the table, for the column that only pgvector adds. */
  name: string
}

/** What is searched for, and among what. */
export interface Nearest {
  model: string
  vector: Float32Array
  /** Conditions on the rows of the table, the owner included. */
  conditions: readonly (SQL | undefined)[]
  count: number
}

/** The values of the key of a text. */
export type Key = readonly (string | number)[]

/** How many rows PostgreSQL sends to this process without pgvector. */
const MAX_CANDIDATES = 20_000
/** How many of them at a time. */
const CHUNK_ROWS = 1000

/**
 * Returns the keys of the texts whose vectors are the most similar, the best first. Equal vectors are in the order of their
 * keys, the last first. Every vector is compared: nothing is approximate.
 *
 * @param pgvector The schema of the extension. Undefined: it is not enabled.
 */
export function nearest(
  db: Db,
  tableOf: (db: Pick<Builder, 'tables'>) => VectorTable,
  wanted: (db: Builder) => Nearest,
  pgvector: string | undefined,
): Promise<Key[]> {
  if (db.dialect === 'postgres' && pgvector === undefined) return nearestHere(db, tableOf, wanted)
  return nearestThere(db, tableOf, wanted, pgvector)
}

/** Has the database compare the vectors. */
async function nearestThere(
  db: Db,
  tableOf: (db: Pick<Builder, 'tables'>) => VectorTable,
  wanted: (db: Builder) => Nearest,
  pgvector: string | undefined,
): Promise<Key[]> {
  // Built for each call: the conditions vary.
  const select = statement((builder: Builder, _: object) => {
    const table = tableOf(builder)
    const { count, ...given } = wanted(builder)
    const distance = distanceOf(table, given.vector, pgvector)
    return builder.orm
      .select({ ...keyColumns(table), distance: distance.as('distance') })
      .from(table.rows)
      .where(isCandidate(table, given, pgvector))
      .orderBy(sql`distance`, ...table.key.map((column) => sql`${column} desc`))
      .limit(count)
  })
  return (await select.all(db, {})).map(keyOf)
}

function distanceOf({ rows, name }: VectorTable, vector: Float32Array, pgvector: string | undefined): SQL {
  if (pgvector === undefined) return sql`vec_distance_cosine(${rows.vector}, ${bytesOfVector(vector)})`
  // The search path may not lead to the extension.
  const schema = sql.identifier(pgvector)
  return sql`${embeddingOf(name)} operator(${schema}.<=>) cast(${literalOf(vector)} as ${schema}.vector)`
}

/** Returns the column that pgvector adds to a table. */
function embeddingOf(name: string): SQL {
  return sql.raw(`"${name}"."embedding"`)
}

/** Returns a vector as pgvector reads it. */
export function literalOf(vector: Float32Array): string {
  return `[${vector.join()}]`
}

function isCandidate(
  { rows, name }: VectorTable,
  { model, conditions }: Pick<Nearest, 'model' | 'conditions'>,
  pgvector: string | undefined,
): SQL | undefined {
  const hasVector = pgvector === undefined ? isNotNull(rows.vector) : sql`${embeddingOf(name)} is not null`
  return and(eq(rows.model, model), hasVector, ...conditions)
}

/** Compares the vectors in this process: PostgreSQL alone cannot. */
async function nearestHere(
  db: Db,
  tableOf: (db: Pick<Builder, 'tables'>) => VectorTable,
  wanted: (db: Builder) => Nearest,
): Promise<Key[]> {
  const isCandidateOf = (builder: Builder, table: VectorTable) => {
    return isCandidate(table, wanted(builder), undefined)
  }
  const counted = statement((builder: Builder, _: object) => {
    const table = tableOf(builder)
    const some = builder.orm
      .select({ model: table.rows.model })
      .from(table.rows)
      .where(isCandidateOf(builder, table))
      .limit(MAX_CANDIDATES + 1)
    return builder.orm.select({ rows: sql`count(*)`.mapWith(Number) }).from(some.as('some'))
  })
  const rows = (await counted.first(db, {}))?.rows ?? 0
  if (rows > MAX_CANDIDATES) throw tooMany()

  const { vector, count } = wanted(db)
  let best: { key: Key; similarity: number }[] = []
  for (let after: Key | undefined, found = CHUNK_ROWS; found === CHUNK_ROWS; ) {
    const select = statement((builder: Builder, _: object) => {
      const table = tableOf(builder)
      return builder.orm
        .select({ ...keyColumns(table), vector: sql`${table.rows.vector}`.mapWith(table.rows.vector).as('vector') })
        .from(table.rows)
        .where(and(isCandidateOf(builder, table), after && isAfter(table, after)))
        .orderBy(...table.key.map((column) => asc(column)))
        .limit(CHUNK_ROWS)
    })
    const chunk = await select.all(db, {})
    for (const row of chunk) {
      const bytes = row.vector as Uint8Array // rows without are no candidates
      best.push({ key: keyOf(row), similarity: similarityOf(vectorOfBytes(bytes), vector) })
    }
    best = best.sort((a, b) => b.similarity - a.similarity || compareKeys(b.key, a.key)).slice(0, count)
    const last = chunk.at(-1)
    after = last && keyOf(last)
    found = chunk.length
  }
  return best.map(({ key }) => key)
}

function isAfter({ key }: VectorTable, after: Key): SQL {
  const columns = sql.join(
    key.map((column) => sql`${column}`),
    sql`, `,
  )
  const values = sql.join(
    after.map((value) => (typeof value === 'number' ? sql`cast(${value} as integer)` : sql`${value}`)),
    sql`, `,
  )
  return sql`(${columns}) > (${values})`
}

function keyColumns({ key }: VectorTable) {
  return Object.fromEntries(key.map((column, i) => [`k${i}`, column]))
}

function keyOf(row: Record<string, unknown>): Key {
  const key: (string | number)[] = []
  for (let i = 0; `k${i}` in row; i++) key.push(row[`k${i}`] as string | number) // the columns of keys are text and integers
  return key
}

/** Compares two keys as the databases do. */
function compareKeys(a: Key, b: Key): number {
  for (const [i, left] of a.entries()) {
    const right = b[i]
    if (typeof left === 'number') {
      if (left !== right) return left - Number(right)
    } else {
      const order = Buffer.compare(Buffer.from(left), Buffer.from(String(right)))
      if (order !== 0) return order
    }
  }
  return 0
}

function tooMany(): StorageError<'INVALID_STATE'> {
  const message =
    `More than ${MAX_CANDIDATES} vectors would have to be compared in this process: enable pgvector with ` +
    'storage.enablePgvector(), which lets PostgreSQL compare them, or search in a scope or with filters'
  return new StorageError('INVALID_STATE', message)
}
