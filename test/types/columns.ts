import type { pgColumns, sqliteColumns } from '../../src/schema/columns.ts'
import type * as postgres from '../../src/schema/postgres.ts'
import type * as sqlite from '../../src/schema/sqlite.ts'

// Checked by tsc: what the two dialects' words, and the tables made of them, must have in common.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

type NotColumns = 'table' | 'index' | 'uniqueIndex' | 'primaryKey' | 'foreignKey'
type Word = Exclude<keyof typeof pgColumns, NotColumns>

/** What a column holds, as far as programs can tell. */
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
  sequence: true,
}

export const sameWords: Same<keyof typeof pgColumns, keyof typeof sqliteColumns> = true

/** The comparison does tell columns apart. */
export const differences: Same<Facts<typeof pgColumns.text>, Facts<typeof sqliteColumns.sequence>> &
  Same<Facts<typeof pgColumns.integer>, Facts<typeof sqliteColumns.sequence>> = false

type Rows<Module> = {
  [K in keyof Module]: Module[K] extends { $inferSelect: infer Read; $inferInsert: infer Write } ? [Read, Write] : never
}

export const sameRows: Same<Rows<typeof postgres>, Rows<typeof sqlite>> = true
