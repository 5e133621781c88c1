/** Returns the bytes of a Buffer, not copied: a Buffer prints, compares and slices in its own way. */
export function bytesOf({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
