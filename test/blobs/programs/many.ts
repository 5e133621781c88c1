// Puts 400 contents of 60 KB at once, half of them from files. Meanwhile it opens other files and connections, and
// prints what failed: `many.ts <config> <directory> <root, transaction or naive>`.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { type BlobInput, openStorage } from 'holdfast'
import { LocalBytes } from '../../../src/blobs/bytes/local.ts'
import { blobSource } from '../../../src/blobs/input/source.ts'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', directory = '', how = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), quiet)
const server = createServer((socket) => socket.end())
await once(server.listen(0, '127.0.0.1'), 'listening')
const address = server.address()
const port = typeof address === 'object' && address ? address.port : 0

const inputs = Array.from({ length: 400 }, (_, i) => {
  const data = Buffer.alloc(60_000, `${how} ${i}`)
  if (i % 2 === 0) return data
  const path = join(directory, `${i}`)
  writeFileSync(path, data)
  return { path }
})

/** Opens a file and a connection, and closes both. */
async function useOthers(): Promise<void> {
  const file = await open(process.execPath)
  await file.close()
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
}

const failed: string[] = []
const note = (what: string) => (error: { code?: string }) => void failed.push(`${what}: ${error.code}`)
let others = 0
let ended = false
const using = (async () => {
  for (; !ended; others++) await useOthers().catch(note('other'))
})()

const put = (blobs: typeof storage.blobs) => Promise.all(inputs.map((input) => blobs.put(input).catch(note('put'))))
/** Stages everything at once, as a put without a limit would. */
async function stageAll() {
  const bytes = await LocalBytes.open({ storePath: join(directory, 'naive') })
  const stage = async (input: BlobInput) => bytes.stage((await blobSource(input)).source, { maxBytes: 60_000 })
  await Promise.all(inputs.map((input) => stage(input).catch(note('stage'))))
}
await (how === 'naive' ? stageAll() : how === 'root' ? put(storage.blobs) : storage.transaction((tx) => put(tx.blobs)))
ended = true
await using
const { count } = await storage.blobs.stats()
say({ failed: [...new Set(failed)], failures: failed.length, count, others })
server.close()
await storage.close()
