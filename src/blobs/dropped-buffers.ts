import { getHeapStatistics } from 'node:v8'

/** From so much of dropped buffers on, V8 looks for them by itself. */
const V8_PILE_BYTES = 32 * 1024 * 1024
/** So much of them may pile up before it is made to look. */
const PILE_BYTES = 1024 * 1024
/** Since V8 13, of Node 24, so large a buffer always starts a full collection, which costs more than it is worth. */
const V8_IS_ASKED = Number.parseInt(process.versions.v8, 10) < 13

let pile = 0
let next = PILE_BYTES
/** What all buffers took when V8 was asked last. */
let taken = Number.POSITIVE_INFINITY
let collectedFully = false
/** Only a full collection comes to these. */
const witnesses = new FinalizationRegistry<undefined>(() => {
  collectedFully = true
})

/**
 * Says that so many bytes of new buffers have been passed on by a stream, and are soon dropped. V8 collects the small
 * objects of its young heap often, but lets 32 MiB of buffers pile up first. So after each MiB there is one more buffer,
 * of that size and dropped at once: nobody touches it, so it takes no memory, but at the next one V8 looks, and frees all.
 * Where its answer is a full collection, the heap being small and nearly full, it is asked half as often, and so on.
 */
export function buffersDropped(bytes: number): void {
  pile += bytes
  if (!V8_IS_ASKED || pile < next) return
  pile = 0
  const { external_memory: now } = getHeapStatistics()
  if (now > taken + V8_PILE_BYTES / 2) {
    taken += PILE_BYTES // the last one is not freed yet, and two together would start a full collection
    return
  }
  taken = now
  next = collectedFully ? Math.min(next * 2, V8_PILE_BYTES) : Math.max(next / 2, PILE_BYTES)
  collectedFully = false
  witnesses.register({}, undefined)
  try {
    Buffer.allocUnsafeSlow(V8_PILE_BYTES)
  } catch {
    // there are no addresses left for it: the stream can do without
  }
}
