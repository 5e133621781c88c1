import type BetterSqlite3 from 'better-sqlite3'

/**
 * Whether a connection compares vectors: with sqlite-vec if it is installed, or 'portable' with a function in JavaScript in
 * any case. PostgreSQL needs nothing of this.
 */
export type VectorSupport = boolean | 'portable'

/**
 * Returns a function that gives a connection `vec_distance_cosine`, of two vectors of length 1 in bytes: from sqlite-vec if the
 * package is installed, otherwise in JavaScript, at a third of the speed.
 */
export async function vectorFunctions(
  support: VectorSupport,
): Promise<((db: BetterSqlite3.Database) => void) | undefined> {
  if (support === false) return undefined
  const extension = support === true ? await loadSqliteVec() : undefined
  return (db) => {
    if (extension) extension.load(db)
    else db.function('vec_distance_cosine', { deterministic: true }, distance)
  }
}

interface SqliteVec {
  getLoadablePath(): string
  load(db: BetterSqlite3.Database): void
}

let loaded: Promise<SqliteVec | undefined> | undefined

/** Loads sqlite-vec. Returns undefined if the package is not installed, or has no binary for this system. */
function loadSqliteVec(): Promise<SqliteVec | undefined> {
  loaded ??= (async () => {
    try {
      // A name that no bundler follows: a program that does without the package need not declare it as external.
      const name: string = 'sqlite-vec'
      const extension: SqliteVec = await import(/* webpackIgnore: true */ name)
      extension.getLoadablePath() // throws if there is no binary
      return extension
    } catch {
      return undefined
    }
  })()
  return loaded
}

/** SQLite asks for the distance of each row to the same vector: its bytes are read once. */
let latest: { bytes: Buffer; vector: Float32Array } | undefined

function distance(stored: unknown, wanted: unknown): number {
  const [a, b] = [stored as Buffer, wanted as Buffer] // the columns and parameters of our statements
  if (latest === undefined || !latest.bytes.equals(b)) latest = { bytes: b, vector: floatsOf(b).slice() }
  const left = floatsOf(a)
  const right = latest.vector
  let sum = 0
  for (let i = 0; i < right.length; i++) sum += (left[i] as number) * (right[i] as number)
  return 1 - sum
}

function floatsOf({ buffer, byteOffset, byteLength }: Buffer): Float32Array {
  if (byteOffset % 4 === 0) return new Float32Array(buffer, byteOffset, byteLength / 4)
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))
}
