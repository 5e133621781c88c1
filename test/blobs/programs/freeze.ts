// Changes blobs, and stops itself by SIGSTOP at the moments that its input names, one in a line: `freeze.ts <config>`.
import { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { isStorageError, openStorage, type StorageTransaction } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'
import { openLayer } from '../layer.ts'

/** What the program does next, and when it stops. */
export interface Moment {
  operation: keyof typeof operations
  /** A step, or COMMIT, or the end of the body of a transaction. */
  at: string
  /** The size of what is put. The content is a repetition of `at`. */
  bytes: number
  /** Limits a transaction. */
  timeoutMillis?: number
}

const [config = ''] = process.argv.slice(2)
const settings = JSON.parse(config)
let moment: string | undefined
/** Stands still during a clean-up, which then takes what was put before it began, and nothing later. */
let now: Date | undefined

function freeze() {
  say({ frozen: moment })
  moment = undefined
  process.kill(process.pid, 'SIGSTOP')
}

const freezeAt = (step: string) => {
  if (step === moment) freeze()
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

const { blobs, erase, close } = await openLayer(settings, {
  onStep: freezeAt,
  onFileStep: freezeAt,
  now: () => now ?? new Date(),
})
const operations = {
  put: (data: Buffer) => blobs.put(data),
  async delete() {
    for (const { id } of (await blobs.list()).items) await blobs.delete(id)
  },
  async cleanup() {
    now = new Date()
    await sleep(2) // or others put in the same millisecond
    await blobs.cleanup({ olderThan: now })
    now = undefined
  },
  erase: () => erase('owner', 100),
  verify: () => blobs.verify({ repair: true }),
  async transaction(data: Buffer, limits: { timeoutMillis?: number }) {
    await using storage = await openStorage(settings, quiet)
    const body = async (tx: StorageTransaction) => {
      await tx.blobs.put(data)
      freeze()
    }
    await storage.transaction(body, limits)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, at, bytes, ...limits } = JSON.parse(line) as Moment // the test writes nothing else
  moment = at
  if (at === 'COMMIT') freezeBeforeCommit()
  const work: Promise<unknown> = operations[operation](Buffer.alloc(bytes, at), limits)
  const error = await work.then(() => undefined).catch((thrown: unknown) => thrown)
  if (error !== undefined && !isStorageError(error)) throw error
  say({ code: error?.code ?? 'ok', retryable: error?.retryable ?? false, message: error?.message })
}
await close()
