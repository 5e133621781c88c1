import type { Db } from '../../database/db.ts'
import type { Query } from '../../database/query.ts'
import { batch, type Call } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { bytesOf } from '../../schema/bytes-of.ts'
import { vectorOfBytes } from '../../search/vectors.ts'
import type { MemoryKey, MessageKey } from './pending.ts'

// pgvector has no cast from bytes. So a column beside the bytes holds the same vector, and is written with them. No migration
// may need an extension: the column comes when a program asks for it.

const TABLES = [
  { name: 'message_embeddings', key: ['session_id', 'owner_id', 'seq', 'model'] },
  { name: 'memory_embeddings', key: ['memory_id', 'model'] },
] as const

/** How many vectors one transaction converts. */
const BATCH_ROWS = 500

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

function read(sql: string): Query {
  return { sql, params: [], writes: false }
}

function write(sql: string, params: readonly unknown[] = []): Query {
  return { sql, params, writes: true }
}

/** Returns the schema of pgvector if it is enabled: the extension is there, and the tables have its column. */
export async function pgvectorSchema(db: Db): Promise<string | undefined> {
  if (db.dialect === 'sqlite') return undefined
  const [row] = await db.run(
    read(`select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace
      where x.extname = 'vector' and (
        select count(*) from pg_attribute a where a.attname = 'embedding' and not a.attisdropped
          and a.attrelid in (to_regclass('message_embeddings'), to_regclass('memory_embeddings'))
      ) = ${TABLES.length}`),
  )
  return row === undefined ? undefined : String(row[0])
}

/**
 * Creates the extension and the columns, if they are missing. Returns the schema of the extension.
 *
 * @throws {INVALID_STATE} when the database is SQLite, or the server has no pgvector
 * @throws {PRIVILEGE_MISSING} when the user may not create the extension, or does not own the tables
 */
export async function createPgvector(db: Db): Promise<string> {
  if (db.dialect === 'sqlite') {
    throw new StorageError(
      'INVALID_STATE',
      'pgvector is an extension of PostgreSQL: SQLite compares vectors without it',
    )
  }
  const [available] = await db.run(read(`select 1 from pg_available_extensions where name = 'vector'`))
  if (available === undefined) {
    const message =
      'pgvector is not installed on the PostgreSQL server: install its package there, such as postgresql-16-pgvector'
    throw new StorageError('INVALID_STATE', message)
  }
  await db.transaction(async (tx) => {
    await tx.run(write('create extension if not exists vector'))
    const [[schema] = []] = await tx.run(
      read(
        `select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace where x.extname = 'vector'`,
      ),
    )
    for (const { name } of TABLES) {
      await tx.run(write(`alter table ${name} add column if not exists embedding ${quoted(String(schema))}.vector`))
      // Finds what an instance has written that did not know of the column yet.
      await tx.run(
        write(`create index if not exists ${name}_unconverted on ${name} (model)
          where embedding is null and vector is not null`),
      )
    }
  })
  return (await pgvectorSchema(db)) as string // it was just created
}

type StoredRow = (MessageKey | MemoryKey) & { model: string; vector: Uint8Array | null }

/** Returns the call that writes a vector as pgvector has it, after its row was written. */
export function conversionOf(row: StoredRow, schema: string): Call<undefined>[] {
  if (row.vector === null) return []
  const literal = `[${vectorOfBytes(row.vector).join()}]`
  const [table, key] =
    'memoryId' in row
      ? [TABLES[1], [row.memoryId, row.model]]
      : [TABLES[0], [row.sessionId, row.ownerId, row.seq, row.model]]
  return [command(conversion(table, schema, [literal, ...key]))]
}

function conversion({ name, key }: (typeof TABLES)[number], schema: string, params: readonly unknown[]): Query {
  const isRow = key.map((column, i) => `${column} = $${i + 2}`).join(' and ')
  return write(`update ${name} set embedding = cast($1 as ${quoted(schema)}.vector) where ${isRow}`, params)
}

/** Makes a call of which nothing is read. */
function command(query: Query): Call<undefined> {
  return { query: () => query, decode: () => undefined }
}

/** Converts vectors that only have their bytes, up to 500 in a transaction. Returns the number converted. */
export async function convertVectors(db: Db, schema: string, check: () => void): Promise<number> {
  let converted = 0
  for (const table of TABLES) {
    for (let found = BATCH_ROWS; found === BATCH_ROWS; ) {
      check()
      found = await db.transaction(async (tx) => {
        const rows = await tx.run(
          read(`select vector, ${table.key.join()} from ${table.name}
            where embedding is null and vector is not null limit ${BATCH_ROWS} for update skip locked`),
        )
        await batch(
          tx,
          rows.map(([vector, ...key]) => {
            const bytes = bytesOf(Buffer.from(String(vector).slice(2), 'hex')) // as the driver has bytea
            return command(conversion(table, schema, [`[${vectorOfBytes(bytes).join()}]`, ...key]))
          }),
        )
        return rows.length
      })
      converted += found
    }
  }
  return converted
}
