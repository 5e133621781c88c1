import type { pgColumns } from '../../src/schema/columns.ts'
import type * as postgres from '../../src/schema/postgres.ts'
import type * as sqlite from '../../src/schema/sqlite.ts'
import type { sqliteColumns } from '../../src/schema/sqlite-columns.ts'
import type { Same } from './same.ts'

// Checked by tsc: the column types of the two dialects, and the tables made of them, must agree.

type NotColumns = 'table' | 'index' | 'uniqueIndex' | 'primaryKey' | 'foreignKey'
type Word = Exclude<keyof typeof pgColumns, NotColumns>

/** What a program sees of a column. */
type Facts<Make extends (name: string) => unknown> =
  ReturnType<Make> extends { _: { data: infer Data; notNull: infer NotNull; hasDefault: infer HasDefault } }
    ? { data: Data; notNull: NotNull; hasDefault: HasDefault }
    : never

type Agreement = {
  [W in Word]: [Facts<(typeof pgColumns)[W]>] extends [never]
    ? 'not a column'
    : Same<Facts<(typeof pgColumns)[W]>, Facts<(typeof sqliteColumns)[W]>>
}

export const words: Agreement = {
  text: true,
  integer: true,
  long: true,
  boolean: true,
  instant: true,
  json: true,
  bytes: true,
  terms: true,
  owner: true,
  sequence: true,
  looseSequence: true,
}

export const sameWords: Same<keyof typeof pgColumns, keyof typeof sqliteColumns> = true

/** Proves that the comparison distinguishes columns. */
export const differences: Same<Facts<typeof pgColumns.text>, Facts<typeof sqliteColumns.sequence>> &
  Same<Facts<typeof pgColumns.integer>, Facts<typeof sqliteColumns.sequence>> = false

type Rows<Module> = {
  [K in keyof Module]: Module[K] extends { $inferSelect: infer Read; $inferInsert: infer Write } ? [Read, Write] : never
}

export const sameRows: Same<Rows<typeof postgres>, Rows<typeof sqlite>> = true
