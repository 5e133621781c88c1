/** From so much of dropped buffers on, V8 looks for them by itself. */
const V8_PILE_BYTES = 32 * 1024 * 1024
/** So much of them may pile up before it is made to look. */
const PILE_BYTES = 1024 * 1024
/** Since V8 13, of Node 24, so large a buffer starts a full collection, which takes longer than memory is worth. */
const V8_IS_ASKED = Number.parseInt(process.versions.v8, 10) < 13

let pile = 0

/**
 * Says that so many bytes of new buffers have been passed on by a stream, and are soon dropped. V8 collects the small
 * objects of its young heap often, but lets 32 MiB of buffers pile up first. So after each MiB there is one more buffer,
 * of that size and dropped at once: nobody touches it, so it takes no memory, but at the next one V8 looks, and frees all.
 */
export function buffersDropped(bytes: number): void {
  pile += bytes
  if (!V8_IS_ASKED || pile < PILE_BYTES) return
  pile = 0
  try {
    Buffer.allocUnsafeSlow(V8_PILE_BYTES)
  } catch {
    // there are no addresses left for it: the stream can do without
  }
}
