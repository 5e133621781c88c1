/**
 * Streams a blob of so many MiB in and out, and says by how much that raised the peak of its resident memory:
 * `stream.ts <storePath> <MiB> <how>`, run with --expose-gc. It collects garbage as it goes, so that what shows is what
 * is held, and not what V8 has not looked at yet: left to itself, it lets 32 MiB of dropped buffers pile up.
 */
import { randomFillSync } from 'node:crypto'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { blobSource } from '../../../src/blobs/input.ts'
import { LocalBytes } from '../../../src/blobs/local.ts'
import { readBytes, readStream } from '../../../src/blobs/read.ts'

const [storePath = '', size = '', how = ''] = process.argv.slice(2)
const MIB = 1024 * 1024
const bytes = await LocalBytes.open({ storePath })

const peakMiB = () => process.resourceUsage().maxRSS / 1024

let seen = 0
function collectGarbage(length: number) {
  seen += length
  if (seen < MIB) return
  seen = 0
  globalThis.gc?.({ type: 'minor', execution: 'sync' })
}

async function* generate(mebibytes: number) {
  const chunk = Buffer.alloc(64 * 1024)
  for (let i = 0; i < mebibytes * 16; i += 1) {
    randomFillSync(chunk, 0, 16)
    collectGarbage(chunk.length)
    yield chunk
  }
}

async function streamIn(mebibytes: number) {
  const { source } = await blobSource(generate(mebibytes))
  const staged = await bytes.stage(source, { maxBytes: 2048 * MIB })
  await staged.commit()
  return { hash: staged.hash, size: staged.size }
}

async function streamOut(content: { hash: string; size: number }) {
  if (how === 'whole') return void (await readBytes(bytes, content))
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      collectGarbage(chunk.length)
      setImmediate(done)
    },
  })
  await pipeline(await readStream(bytes, content), sink)
}

for (let i = 0; i < 40; i += 1) await streamOut(await streamIn(1)) // compiled, and at rest
const idle = peakMiB()
const content = await streamIn(Number(size))
const afterIn = peakMiB()
await streamOut(content)
console.log(JSON.stringify({ in: afterIn - idle, out: peakMiB() - afterIn, idle }))
