// Runs one operation on a store, and kills itself by SIGKILL at a step, or after some milliseconds:
// `operate.ts <config> <operation> <step or milliseconds> <argument> <bytes of a large put>`.
import { say } from '../../setup/say.ts'
import { openLayer } from '../layer.ts'

const [config = '', operation, fatal = '', argument = '', bytes = '600000'] = process.argv.slice(2)

const die = () => process.kill(process.pid, 'SIGKILL')
const dieAt = async (step: string) => {
  if (step !== fatal) return
  die()
  await new Promise(() => {})
}

const { blobs, close } = await openLayer(JSON.parse(config), { onStep: dieAt, onFileStep: dieAt })
if (/^\d+$/.test(fatal)) setTimeout(die, Number(fatal))

switch (operation) {
  case 'put':
    say({ acknowledged: await blobs.put(Buffer.alloc(Number(bytes), argument)) })
    break
  case 'delete':
    say({ deleted: await blobs.delete(argument) })
    break
  case 'cleanup':
    say(await blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) }))
    break
  case 'verify':
    say(await blobs.verify({ repair: true }))
    break
  case 'everything':
    for (let i = 0; ; i++) {
      const record = await blobs.put(Buffer.alloc(i % 7 === 6 ? Number(bytes) : 1000 + (i % 7) * 100_000, i % 7))
      say({ acknowledged: record })
      if (i % 3 === 0) {
        say({ deleting: record.id })
        await blobs.delete(record.id)
      }
      if (i % 5 === 0) await blobs.cleanup({ olderThan: new Date(0) })
    }
}
await close()
