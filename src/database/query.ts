import { Column, type Query as DrizzleQuery, is, Param, Placeholder, SQL, Table } from 'drizzle-orm'

/** A row as the drivers return it: values in the order of the selected columns. */
export type Row = readonly unknown[]

/** SQL text with its parameters. */
export interface Query {
  readonly sql: string
  readonly params: readonly unknown[]
  /** True if the query may change data. SQLite runs a write on its writer; no driver repeats a write that may have committed. */
  readonly writes: boolean
  /** The owner of the handle that sends the query, for row-level security. Undefined: everybody's rows may be meant. */
  readonly owner?: string | undefined
}

/** A field that drizzle selects: its place in the result, and the column or expression that decodes it. */
export interface SelectedField {
  path: string[]
  field: unknown
}

/** Values by placeholder name. "3.id" is the id of row 3 if a query takes rows; "tags.0" is an item of a list. */
type Arguments = Readonly<Record<string, unknown>>

/** The placeholder for the owner of the handle that a statement runs on. It is no argument of the statement. */
export const OWNER = 'owner of the handle'

/** A query that lacks only its arguments: the SQL is built, and the encoders and the decoder are chosen. */
export interface CompiledQuery {
  readonly sql: string
  readonly writes: boolean
  /** Returns the values of the parameters. `owner` is the value of the placeholder OWNER. */
  encode(args: Arguments, owner: string | undefined): unknown[]
  decode(row: Row): Record<string, unknown>
}

/** Chooses the encoder of each parameter and the decoder of each column, once per query. */
export function compileQuery(query: DrizzleQuery, fields: SelectedField[] | undefined, writes: boolean): CompiledQuery {
  const encoders = query.params.map(encoderOf)
  const columns = (fields ?? []).map(columnOf)
  const blank: Record<string, unknown> = Object.fromEntries(columns.map(({ key }) => [key, null]))
  return {
    sql: query.sql,
    writes,
    encode: (args, owner) => encoders.map((encode) => encode(args, owner)),
    decode: (row) => {
      const record = { ...blank } // all properties at once: V8 reallocates an object that grows
      for (let i = 0; i < columns.length; i++) {
        const column = columns[i] as (typeof columns)[number] // i is in range
        const raw = row[i]
        record[column.key] = raw === null || column.decode === undefined ? raw : column.decode(raw)
      }
      return record
    },
  }
}

/**
 * Returns the decoded rows in an array of this realm. `rows.map` would make an array of the driver's realm, which under
 * Jest is another one: there the array equals no array of a test.
 */
export function decodeAll<R>(rows: readonly Row[], decode: (row: Row) => R): R[] {
  const decoded: R[] = []
  for (const row of rows) decoded.push(decode(row))
  return decoded
}

type Encoder = (args: Arguments, owner: string | undefined) => unknown

function encoderOf(param: unknown): Encoder {
  if (is(param, Placeholder)) return argument(param.name)
  if (is(param, Param) && is(param.value, Placeholder)) {
    const given = argument(param.value.name)
    if (param.encoder.mapToDriverValue === Column.prototype.mapToDriverValue) return given
    return (args, owner) => {
      const value = given(args, owner)
      return value === null ? null : param.encoder.mapToDriverValue(value)
    }
  }
  return () => param
}

function argument(name: string): Encoder {
  if (name === OWNER) return (_, owner) => owner
  const [row, property] = name.split('.')
  return (args) => {
    const value = property === undefined ? args[name] : (args[row as string] as Arguments)[property] // split has a first
    if (value === undefined) throw new TypeError(`The statement's argument "${name}" is missing`)
    return value
  }
}

function columnOf({ path, field }: SelectedField): { key: string; decode: ((raw: unknown) => unknown) | undefined } {
  const [key, ...rest] = path
  if (key === undefined || rest.length > 0 || is(field, Table)) {
    throw new TypeError(`Select flat fields, not ${path.join('.')}: name each column of a join`)
  }
  if (is(field, Column)) {
    const plain = field.mapFromDriverValue === Column.prototype.mapFromDriverValue
    return { key, decode: plain ? undefined : (raw) => field.mapFromDriverValue(raw) }
  }
  // An expression: drizzle keeps its decoder (mapWith) in a property it does not declare.
  const expression = is(field, SQL.Aliased) ? field.sql : field
  const { decoder } = expression as { decoder: { mapFromDriverValue(raw: unknown): unknown } }
  return { key, decode: (raw) => decoder.mapFromDriverValue(raw) }
}
