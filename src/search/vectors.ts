import { createHash } from 'node:crypto'

/** What a model returns for a text. */
export type Vector = ArrayLike<number>

/** Returns what is wrong with a vector, or undefined if it has `dimensions` finite numbers and a direction. */
export function problemOf(vector: unknown, dimensions: number): string | undefined {
  const length: unknown = Reflect.get(Object(vector), 'length')
  if (typeof vector !== 'object' || vector === null || typeof length !== 'number') return 'must be a list of numbers'
  if (length !== dimensions) return `must have ${dimensions} dimensions, not ${length}`
  let squares = 0
  for (const value of vectorOf(vector)) {
    if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) return 'must have finite numbers only'
    squares += value * value
  }
  return squares > 0 && Number.isFinite(squares)
    ? undefined
    : 'must have a direction: not only zeros, nor numbers beyond all bounds'
}

function vectorOf(vector: object): unknown[] {
  return Array.from(vector as ArrayLike<unknown>) // it has a length
}

/** Returns the vector of length 1 with the same direction. */
export function normalised(vector: Vector): Float32Array {
  let squares = 0
  for (let i = 0; i < vector.length; i++) squares += (vector[i] ?? 0) ** 2
  const length = Math.sqrt(squares)
  return Float32Array.from(vector, (value) => value / length)
}

/** Returns the cosine of the angle between two vectors of length 1: from -1 to 1. */
export function similarityOf(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number) // both have the length of the model
  return sum
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Returns a vector as it is stored: float32, little-endian. */
export function bytesOfVector(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(vector.slice().buffer)
  return isLittleEndian ? bytes : swapped(bytes)
}

/** Returns the vector that is stored as these bytes. */
export function vectorOfBytes(bytes: Uint8Array): Float32Array {
  if (isLittleEndian && bytes.byteOffset % 4 === 0) {
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  }
  const copy = bytes.slice()
  return new Float32Array((isLittleEndian ? copy : swapped(copy)).buffer)
}

function swapped(bytes: Uint8Array): Uint8Array {
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).swap32()
  return bytes
}

/** Returns the hash of a text by which a vector knows its text again: 128 bits of SHA-256. */
export function hashOfText(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}
