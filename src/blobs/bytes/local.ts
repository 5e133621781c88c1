import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, mkdir, open, readdir, realpath, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  blobTooLarge,
  CHUNK_BYTES,
  type Content,
  checkHash,
  isHash,
  type Staged,
  stagedBytesGone,
} from './backend.ts'
import { fileError, isErrno } from './errors.ts'
import {
  hashOfFile,
  isDirectory,
  lstatIfThere,
  makeDirectory,
  openDirectory,
  openRegular,
  renameIfThere,
  syncDirectory,
  unlinkIfThere,
  writeAll,
} from './files.ts'
import { HashingWriter } from './hashing-writer.ts'

/** Where `LocalBytes` can be interrupted; each is named for what comes next. */
export const LOCAL_STEPS = [
  'stage.create',
  'stage.write',
  'stage.sync',
  'commit.open',
  'commit.rename',
  'commit.sync',
  'discard.unlink',
  'read.open',
  'read.chunk',
  'remove.unlink',
  'quarantine.read',
  'quarantine.rename',
  'sweep.unlink',
] as const

export type LocalStep = (typeof LOCAL_STEPS)[number]

/** Called before each step, for tests: what it throws fails the step as if the system had refused it. */
export type StepHook = (step: LocalStep) => void | Promise<void>

export interface LocalBytesOptions {
  /** The directory; made, with its parents, if it is not there. Any number of processes may share it. */
  storePath: string
  onStep?: StepHook
}

const SHARDS = Array.from({ length: 256 }, (_, shard) => shard.toString(16).padStart(2, '0'))

/**
 * Bytes as files: `objects/<2 hex>/<64 hex>`, `tmp/` for what is staged, `quarantine/` for what was found damaged.
 * Directories are 0700 and files 0600. Only a regular file in a real directory is an object: a symbolic link among
 * the objects is as good as nothing.
 */
export class LocalBytes implements BytesBackend {
  readonly type = 'local'
  readonly #root: string
  readonly #objects: string
  readonly #tmp: string
  readonly #quarantine: string
  readonly #onStep: StepHook | undefined

  private constructor(root: string, onStep: StepHook | undefined) {
    this.#root = root
    this.#objects = join(root, 'objects')
    this.#tmp = join(root, 'tmp')
    this.#quarantine = join(root, 'quarantine')
    this.#onStep = onStep
  }

  /** Opens the store and makes the directories that are missing. */
  static async open({ storePath, onStep }: LocalBytesOptions): Promise<LocalBytes> {
    try {
      const made = await mkdir(storePath, { recursive: true, mode: 0o700 })
      const store = new LocalBytes(await realpath(storePath), onStep)
      await store.#makeDirectories(made && (await realpath(made)))
      return store
    } catch (error) {
      throw fileError(error, 'open')
    }
  }

  async stage(source: AsyncIterable<Uint8Array>, { maxBytes }: { maxBytes: number }): Promise<Staged> {
    const path = join(this.#tmp, randomUUID())
    const file = await this.#step('stage.create', () => open(path, 'wx', 0o600))
    const writer = new HashingWriter((bytes) => this.#step('stage.write', () => writeAll(file, bytes)))
    try {
      let size = 0
      for await (const chunk of source) {
        size += chunk.length
        if (size > maxBytes) throw blobTooLarge(maxBytes)
        await writer.add(chunk)
      }
      const written = await writer.finish()
      return { ...written, ...this.#staged(path, written.hash, this.#synced(file)) }
    } catch (error) {
      await writer.settled() // a closed descriptor may already be another file's
      await file.close()
      await unlinkIfThere(path).catch(() => {}) // sweepStaged gets it later
      throw error
    }
  }

  /** Begins now and is awaited by the commit: what the caller does in between need not wait for the disk. */
  #synced(file: FileHandle): Promise<void> {
    const synced = this.#step('stage.sync', () => file.sync()).finally(() => file.close())
    synced.catch(() => {}) // thrown where it is awaited
    return synced
  }

  #staged(path: string, hash: string, synced: Promise<void>): Pick<Staged, 'commit' | 'discard'> {
    let renamed = false
    return {
      commit: async () => {
        await synced
        const shard = await this.#step('commit.open', () => this.#openShard(hash))
        try {
          renamed ||= await this.#step('commit.rename', () => renameIfThere(path, this.path(hash)))
          if (!renamed) throw stagedBytesGone(hash)
          await this.#step('commit.sync', () => shard.sync())
        } finally {
          await shard.close()
        }
      },
      discard: async () => {
        await synced.catch(() => {})
        if (!renamed) await this.#step('discard.unlink', () => unlinkIfThere(path))
      },
    }
  }

  async *open({ hash, size }: Content, start = 0, end = size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const path = this.path(hash)
    const object = await this.#step('read.open', async () => (await this.#hasShard(hash)) && openRegular(path))
    if (!object) throw blobNotFound(hash)
    try {
      if (object.size !== size) throw blobCorrupted(hash, `${object.size} bytes where there were ${size}`)
      for (let at = start; at < end; ) {
        const length = Math.min(CHUNK_BYTES, end - at)
        const chunk = into?.subarray(at - start, at - start + length) ?? Buffer.allocUnsafeSlow(length)
        const { bytesRead } = await this.#step('read.chunk', () => object.file.read(chunk, 0, length, at))
        if (bytesRead === 0) throw blobCorrupted(hash, `cut off at ${at} of ${size} bytes`)
        yield chunk.subarray(0, bytesRead)
        at += bytesRead
      }
    } finally {
      await object.file.close()
    }
  }

  async size(hash: string): Promise<number | undefined> {
    return this.#step('read.open', async () => {
      const stat = (await this.#hasShard(hash)) ? await lstatIfThere(this.path(hash)) : undefined
      return stat?.isFile() ? stat.size : undefined
    })
  }

  async remove(hash: string): Promise<boolean> {
    return this.#step('remove.unlink', async () => (await this.#hasShard(hash)) && unlinkIfThere(this.path(hash)))
  }

  async *list(): AsyncGenerator<Content> {
    for (const shard of SHARDS) {
      const directory = join(this.#objects, shard)
      if (!(await isDirectory(directory))) continue
      for (const name of await readdir(directory)) {
        if (!isHash(name) || !name.startsWith(shard)) continue
        const stat = await lstatIfThere(join(directory, name))
        if (stat?.isFile()) yield { hash: name, size: stat.size }
      }
    }
  }

  async quarantine(hash: string): Promise<boolean> {
    const path = this.path(hash)
    const aside = join(this.#quarantine, `${hash}.${randomUUID()}`)
    const found = await this.#step('quarantine.read', async () => (await this.#hasShard(hash)) && hashOfFile(path))
    if (!found || found === hash) return false
    return this.#step('quarantine.rename', async () => {
      if (!(await renameIfThere(path, aside))) return false
      if ((await hashOfFile(aside)) !== hash) return true
      await rename(aside, path) // a put has healed it between the look and the move
      return false
    })
  }

  async sweepStaged(before: Date, { dryRun = false } = {}): Promise<number> {
    return this.#step('sweep.unlink', async () => {
      let swept = 0
      for (const name of await readdir(this.#tmp)) {
        const path = join(this.#tmp, name)
        const stat = await lstatIfThere(path)
        if (!stat || stat.isDirectory() || stat.mtime >= before) continue
        if (dryRun || (await unlinkIfThere(path))) swept += 1
      }
      return swept
    })
  }

  path(hash: string): string {
    return join(this.#shard(hash), hash)
  }

  async ping(): Promise<void> {
    try {
      await access(this.#objects, constants.R_OK | constants.W_OK)
      await access(this.#tmp, constants.W_OK)
    } catch (error) {
      throw fileError(error, 'ping')
    }
  }

  #shard(hash: string): string {
    checkHash(hash)
    return join(this.#objects, hash.slice(0, 2))
  }

  #hasShard(hash: string): Promise<boolean> {
    return isDirectory(this.#shard(hash))
  }

  async #openShard(hash: string): Promise<FileHandle> {
    const shard = this.#shard(hash)
    try {
      return await openDirectory(shard)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      await makeDirectory(shard) // somebody has removed it
      await syncDirectory(this.#objects)
      return openDirectory(shard)
    }
  }

  /** `made` is the topmost directory that was made for the store to be in. */
  async #makeDirectories(made: string | undefined): Promise<void> {
    await Promise.all([this.#objects, this.#tmp, this.#quarantine].map(makeDirectory))
    await Promise.all(SHARDS.map((shard) => makeDirectory(join(this.#objects, shard))))
    // also when nothing was missing: whoever made it may have died before this
    await Promise.all([this.#objects, this.#tmp, this.#quarantine, this.#root].map(syncDirectory))
    for (let path = this.#root; made && path.length >= made.length; path = dirname(path)) {
      await syncDirectory(dirname(path))
    }
  }

  /** The one place where a step can be interrupted and where the system's errors get their meaning. */
  async #step<T>(step: LocalStep, run: () => Promise<T>): Promise<T> {
    try {
      if (this.#onStep) await this.#onStep(step)
      return await run()
    } catch (error) {
      throw fileError(error, step)
    }
  }
}
