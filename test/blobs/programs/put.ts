/** Puts a blob and kills itself by SIGKILL at a step: `put.ts <storePath> <text> <step or none> [naive]`. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { LocalBytes } from '../../../src/blobs/bytes/local.ts'
import { say } from '../../setup/say.ts'

const [storePath = '', text = '', fatal, naive] = process.argv.slice(2)
const data = Buffer.alloc(1_000_000, text)
const die = () => process.kill(process.pid, 'SIGKILL')

if (naive) {
  // Writes half of the bytes straight to the final path.
  const hash = createHash('sha256').update(data).digest('hex')
  const file = await open(join(storePath, 'objects', hash.slice(0, 2), hash), 'w')
  await file.write(data.subarray(0, 500_000))
  die()
}

const bytes = await LocalBytes.open({
  storePath,
  onStep: async (step) => {
    if (step === fatal) die()
  },
})
async function* source() {
  yield data
}
const staged = await bytes.stage(source(), { maxBytes: 10_000_000 })
if (fatal === 'discard.unlink') await staged.discard()
await staged.commit('')
if (fatal === 'remove.unlink') await bytes.remove({ ...staged, generation: '' })
say({ hash: staged.hash, size: staged.size })
