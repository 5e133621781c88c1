// Puts, reads, deletes and collects contents of its own and four that other processes use as well:
// `race.ts <config> <rounds> <seed>`.
import { openStorage, StorageError } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'
import { sha256 } from '../fixture.ts'

const [config = '', rounds = '0', seed = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), quiet)
const { blobs } = storage
const { maxTotalSize } = await blobs.stats()

const SHARED = Array.from({ length: 4 }, (_, i) => Buffer.alloc(20_000, `shared ${i}`))
const pick = <T>(items: readonly T[]) => items[Math.floor(Math.random() * items.length)]
const live: { id: string; hash: string }[] = []
let refused = 0

async function once(i: number): Promise<void> {
  const data = i % 3 === 0 ? Buffer.alloc(10_000 + i, seed) : (pick(SHARED) ?? Buffer.alloc(0))
  const body = async (store: Pick<typeof storage, 'blobs'>) => store.blobs.put(data)
  const record = await (i % 7 === 0 ? storage.transaction(body) : body(storage)).catch((error) => {
    if (!(error instanceof StorageError && error.code === 'BLOB_QUOTA_EXCEEDED')) throw error
    refused += 1
  })
  const mine = live.shift() // not in `live` while it is read, so no other round deletes it
  if (mine && sha256(await blobs.bytes(mine.id)) !== mine.hash) throw new Error('wrong bytes')
  const { bytes } = await blobs.stats()
  if (bytes > maxTotalSize) throw new Error(`${bytes} bytes of ${maxTotalSize}`)
  if (mine && (live.length > 3 || i % 2 === 0)) {
    if (!(await blobs.delete(mine.id))) throw new Error('already removed')
  } else if (mine) live.push(mine)
  if (record) live.push(record)
  if (i % 5 === 0) await storage.maintain()
}

for (let i = 0; i < Number(rounds); i += 4) await Promise.all([i, i + 1, i + 2, i + 3].map(once))
for (const { id, hash } of live) if (sha256(await blobs.bytes(id)) !== hash) throw new Error('wrong bytes')
say({ live: live.map(({ id }) => id), refused })
await storage.close()
