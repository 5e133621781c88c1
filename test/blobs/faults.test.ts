import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, statfsSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { LOCAL_STEPS, LocalBytes, type LocalStep, type StepHook } from '../../src/blobs/bytes/local.ts'
import type { StorageErrorCode } from '../../src/errors.ts'
import { runScript } from '../setup/processes.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import {
  firstOf,
  list,
  NO_LIMIT,
  openDescriptors,
  openStore,
  put,
  readBytes,
  sha256,
  source,
  writable,
} from './fixture.ts'

const meanings: [errno: string, code: StorageErrorCode][] = [
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'DISK_FULL'],
  ['EROFS', 'READ_ONLY'],
  ['EIO', 'DATABASE_FAILED'],
  ['EACCES', 'CONNECTION_FAILED'],
]

const stagedFiles = (storePath: string) => readdirSync(join(storePath, 'tmp'))

describe('a system error', () => {
  /** Returns a hook that fails the step `fault.step` once, as the system would. */
  const faulty = () => {
    const fault: { step?: LocalStep; errno: string } = { errno: 'EIO' }
    const hook: StepHook = (step) => {
      if (step !== fault.step) return
      fault.step = undefined
      throw Object.assign(new Error(`${fault.errno}: injected`), { code: fault.errno })
    }
    return { fault, hook }
  }

  const data = randomBytes(600_000)

  const quarantine = async (bytes: LocalBytes) => {
    const { hash } = await put(bytes, data)
    truncateSync(writable(bytes.path(firstOf(hash))), 1)
    await bytes.quarantine(firstOf(hash)).finally(() => put(bytes, data))
  }

  /** A call that runs each step. */
  const callWith: Record<LocalStep, (bytes: LocalBytes) => Promise<unknown>> = {
    'stage.create': (bytes) => put(bytes, data),
    'stage.write': (bytes) => put(bytes, data),
    'stage.sync': (bytes) => put(bytes, data),
    'commit.open': (bytes) => put(bytes, data),
    'commit.rename': (bytes) => put(bytes, data),
    'commit.sync': (bytes) => put(bytes, data),
    'discard.unlink': async (bytes) => {
      const staged = await bytes.stage(source(data), NO_LIMIT)
      await staged.discard().finally(() => staged.discard())
    },
    'read.open': async (bytes) => readBytes(bytes, await put(bytes, data)),
    'read.chunk': async (bytes) => readBytes(bytes, await put(bytes, data)),
    'remove.unlink': async (bytes) => bytes.remove(await put(bytes, data)),
    'has.read': async (bytes) => bytes.has(await put(bytes, data)),
    'quarantine.read': async (bytes) => bytes.quarantine(await put(bytes, data)),
    'quarantine.rename': quarantine,
    'sweep.unlink': (bytes) => bytes.sweepStaged(new Date()),
  }

  describe.each(LOCAL_STEPS)('at %s', (step) => {
    const { fault, hook } = faulty()
    let store: Awaited<ReturnType<typeof openStore>>

    beforeAll(async () => {
      store = await openStore(hook)
    })

    it.each(meanings)('%s is thrown as %s, leaves nothing, and the next call works', async (errno, code) => {
      const { bytes, storePath } = store
      const descriptors = openDescriptors()
      Object.assign(fault, { step, errno })
      await expect(callWith[step](bytes)).rejects.toMatchObject({
        name: 'StorageError',
        code,
        details: { errno, step },
        cause: { code: errno },
      })
      expect(stagedFiles(storePath)).toEqual([])
      for (const content of await list(bytes)) await readBytes(bytes, content)
      await callWith[step](bytes)
      expect(stagedFiles(storePath)).toEqual([])
      expect(openDescriptors()).toBe(descriptors)
    })
  })

  it.each(['commit.open', 'commit.rename', 'commit.sync'] as const)(
    'commit() works when it is repeated after a failure at %s',
    async (step) => {
      const { fault, hook } = faulty()
      const { bytes, storePath } = await openStore(hook)
      const staged = await bytes.stage(source(data), NO_LIMIT)
      fault.step = step
      await expect(staged.commit('')).rejects.toMatchObject({ code: 'DATABASE_FAILED' })
      await staged.commit('')
      expect(sha256(await readBytes(bytes, { ...staged, generation: '' }))).toBe(staged.hash)
      expect(stagedFiles(storePath)).toEqual([])
    },
  )

  it('stage() rejects and stops the source when a write fails meanwhile', async () => {
    const { fault, hook } = faulty()
    const { bytes } = await openStore(hook)
    let stopped = false
    async function* endless() {
      try {
        for (;;) yield Buffer.alloc(100_000)
      } finally {
        stopped = true
      }
    }
    Object.assign(fault, { step: 'stage.write', errno: 'ENOSPC' })
    await expect(bytes.stage(endless(), NO_LIMIT)).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(stopped).toBe(true)
  })
})

describe('a full disk', () => {
  it('is DISK_FULL, the written bytes are freed, and smaller blobs still fit', async () => {
    const small = smallDisk()
    try {
      const storePath = join(small.path, 'store')
      const bytes = await LocalBytes.open({ storePath, onStep: small.onStep })
      const kept = await put(bytes, randomBytes(2_500_000))
      const free = small.free()
      await expect(put(bytes, randomBytes(2_500_000))).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect(stagedFiles(storePath)).toEqual([])
      expect(small.free()).toBe(free)
      await put(bytes, randomBytes(500_000))
      await readBytes(bytes, kept)
      await bytes.remove(kept)
      await put(bytes, randomBytes(2_500_000))
    } finally {
      small.remove()
    }
  })

  /** Mounts a disk of 4 MiB. Without the permission to mount, returns a hook that fails as a full disk would. */
  function smallDisk() {
    const path = temporaryDirectory('disk')
    const size = 4 * 1024 * 1024
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { stdio: 'ignore' })
      return { path, free: () => statfsSync(path).bfree, remove: () => execFileSync('umount', [path]) }
    } catch {
      const files = () => readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      const used = () => files().reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
      const onStep: StepHook = (step) => {
        if (step === 'stage.sync' && used() > size) throw Object.assign(new Error('injected'), { code: 'ENOSPC' })
      }
      return { path, onStep, free: () => size - used(), remove: () => {} }
    }
  }
})

describe('a put killed by SIGKILL', () => {
  const program = 'test/blobs/programs/put.ts'
  const steps: LocalStep[] = [
    'stage.create',
    'stage.write',
    'stage.sync',
    'commit.open',
    'commit.rename',
    'commit.sync',
  ]
  const ending: LocalStep[] = ['discard.unlink', 'remove.unlink']

  it.each([...steps, ...ending])('at %s leaves whole objects, and at most one staged file to sweep', async (step) => {
    const { bytes, storePath } = await openStore()
    const acknowledged = await put(bytes, Buffer.from('first'))
    const { signal } = await runScript(program, [storePath, 'second', step]).exit
    expect(signal).toBe('SIGKILL')

    for (const content of await list(bytes)) await readBytes(bytes, content)
    const listed = (await list(bytes)).map((content) => content.hash)
    expect(listed).toContain(acknowledged.hash)
    const isThere = listed.includes(sha256(Buffer.alloc(1_000_000, 'second')))
    expect(isThere).toBe(step === 'commit.sync' || step === 'remove.unlink')
    expect(await bytes.sweepStaged(new Date(Date.now() + 1000))).toBe(isThere || step === 'stage.create' ? 0 : 1)
    expect(stagedFiles(storePath)).toEqual([])
  })

  it('leaves half an object if it writes straight to its final path', async () => {
    const { bytes, storePath } = await openStore()
    await runScript(program, [storePath, 'half', 'none', 'naive']).exit
    const [content] = await list(bytes)
    expect(content).toMatchObject({ size: 500_000 })
    await expect(
      readBytes(bytes, { hash: content?.hash ?? '', size: 1_000_000, generation: '' }),
    ).rejects.toMatchObject({
      code: 'BLOB_CORRUPTED',
    })
  })
})
