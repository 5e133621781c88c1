// Puts `count` contents of 100 KB at once, and prints the outcome of each: `fill.ts <config> <count> <seed>`.
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', count = '0', seed = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), quiet)
const put = async (_: unknown, i: number) => {
  const outcome = await storage.blobs.put(Buffer.alloc(100_000, `${seed} ${i}`)).catch((error) => error.code)
  return typeof outcome === 'string' ? outcome : 'stored'
}
say(await Promise.all(Array.from({ length: Number(count) }, put)))
await storage.close()
