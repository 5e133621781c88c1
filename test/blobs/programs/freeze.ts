// Changes blobs and stops itself with SIGSTOP at a step, or while it holds the usage lock: `freeze.ts <config> <moment>`.
import { Socket } from 'node:net'
import { type Blobs, isStorageError, openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { silent } from '../../setup/silent.ts'
import { openLayer } from '../layer.ts'

const [config = '', moment] = process.argv.slice(2)

const freeze = () => {
  say({ frozen: moment })
  process.kill(process.pid, 'SIGSTOP')
}

/** Freezes once, before COMMIT is sent. With `prepare: false` the statements before it have been answered by then. */
function freezeBeforeCommit() {
  const { write } = Socket.prototype
  Socket.prototype.write = function (this: Socket, ...args: unknown[]) {
    if (Buffer.isBuffer(args[0]) && args[0].includes('COMMIT\0')) {
      Socket.prototype.write = write
      freeze()
    }
    return Reflect.apply(write, this, args)
  } as typeof write // an overloaded function, which passes its arguments on
}

async function deleteAll(blobs: Blobs) {
  for (const { id } of (await blobs.list()).items) await blobs.delete(id)
}

const outcome = async (work: Promise<unknown>) => {
  const error = await work.then(() => undefined).catch((thrown: unknown) => thrown)
  if (error !== undefined && !isStorageError(error)) throw error
  say({ code: error?.code ?? 'ok', retryable: error?.retryable ?? false, message: error?.message })
}

if (moment === 'transaction') {
  await using storage = await openStorage(JSON.parse(config), { logger: silent, maintenance: false })
  const body = storage.transaction(async (tx) => {
    await tx.blobs.put(Buffer.from('in a transaction'))
    freeze()
  })
  await outcome(body)
} else {
  let frozen = false
  const freezeAt = (step: string) => {
    if (step === moment && !frozen) freeze()
    frozen ||= step === moment
  }
  const layer = await openLayer(JSON.parse(config), { onStep: freezeAt, onFileStep: freezeAt })
  if (moment?.startsWith('put.') || moment?.startsWith('commit.')) await outcome(layer.blobs.put(Buffer.from('frozen')))
  else if (moment !== 'put') await outcome(deleteAll(layer.blobs))
  else {
    freezeBeforeCommit()
    await outcome(layer.blobs.put(Buffer.from('frozen')))
    await outcome(layer.blobs.put(Buffer.from('frozen')))
  }
  await layer.close()
}
