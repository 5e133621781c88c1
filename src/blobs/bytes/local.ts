import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, open, readdir, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { makeDirectories } from '../../make-directories.ts'
import { bringBackAside } from './aside.ts'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  CHUNK_BYTES,
  checkLocation,
  type ListOptions,
  type Location,
  objectName,
  parseObjectName,
  parseQuarantineName,
  type Quarantined,
  quarantineName,
  type Staged,
  type StageOptions,
  stagedBytesGone,
} from './backend.ts'
import { fileError, isErrno } from './errors.ts'
import {
  hashOfFile,
  isDirectory,
  lstatIfExists,
  makeDirectory,
  openDirectory,
  openRegularFile,
  renameIfExists,
  sizeOfFile,
  syncDirectory,
  unlinkIfExists,
  writeAll,
} from './files.ts'
import { Removals } from './removals.ts'
import { writeSource } from './staged.ts'

/** The steps at which a test can interrupt `LocalBytes`. Each is named after what comes next. */
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
  'has.read',
  'remove.unlink',
  'quarantine.read',
  'quarantine.rename',
  'sweep.unlink',
] as const

export type LocalStep = (typeof LOCAL_STEPS)[number]

/** Runs before each step, for tests. If it throws, the step fails as if the system call had failed. */
export type StepHook = (step: LocalStep) => void | Promise<void>

export interface LocalBytesOptions {
  /** The directory of the store. It is created if it does not exist, with its parents. Processes may share it. */
  storePath: string
  onStep?: StepHook
}

/** How much is read at once into a buffer that is there anyway: each read costs a turn of the thread pool. */
const READ_INTO_BYTES = 512 * 1024

type Place = Pick<Location, 'hash' | 'generation'>

const SHARDS = Array.from({ length: 256 }, (_, shard) => shard.toString(16).padStart(2, '0'))

/**
 * Stores objects as files `objects/<2 hex>/<64 hex>`, followed by `.<generation>` if there is one, staged bytes in `tmp/`,
 * and damaged objects in `quarantine/`. Directories have mode 0700 and files 0400. Symbolic links below `objects/` are never
 * followed: for every method, a link in place of an object or a shard does not exist.
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

  /** Opens the store, and creates directories that are missing. */
  static async open({ storePath, onStep }: LocalBytesOptions): Promise<LocalBytes> {
    try {
      const topmost = await makeDirectories(resolve(storePath), 0o700)
      const store = new LocalBytes(await realpath(storePath), onStep)
      await store.#makeDirectories(topmost && (await realpath(topmost)))
      await bringBackAside(store.#root)
      return store
    } catch (error) {
      throw fileError(error, 'open')
    }
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    const path = join(this.#tmp, randomUUID())
    // 0400: only this handle can write, so nobody can write through what `path` returns.
    const file = await this.#step('stage.create', () => open(path, 'wx', 0o400))
    const written = await writeSource(source, options, {
      write: (bytes) => this.#step('stage.write', () => writeAll(file, bytes)),
      release: async () => {
        await file.close()
        await unlinkIfExists(path).catch(() => {}) // sweepStaged removes it later
      },
    })
    return { ...written, ...this.#staged(path, written.hash, this.#synced(file)) }
  }

  /** Starts the fsync and closes the file. Only `commit` waits for it, so the caller can reserve the content meanwhile. */
  #synced(file: FileHandle): Promise<void> {
    const synced = this.#step('stage.sync', () => file.sync()).finally(() => file.close())
    synced.catch(() => {}) // commit() throws it
    return synced
  }

  #staged(path: string, hash: string, synced: Promise<void>): Pick<Staged, 'commit' | 'discard'> {
    let renamed = false
    return {
      commit: async (generation) => {
        const location = { hash, generation }
        checkLocation(location)
        await synced
        const shard = await this.#step('commit.open', () => this.#openShard(location))
        try {
          renamed ||= await this.#step('commit.rename', () => renameIfExists(path, this.path(location)))
          if (!renamed) throw stagedBytesGone(hash)
          await this.#step('commit.sync', () => shard.sync())
        } finally {
          await shard.close()
        }
      },
      discard: async () => {
        await synced.catch(() => {})
        if (!renamed) await this.#step('discard.unlink', () => unlinkIfExists(path))
      },
    }
  }

  async *open(location: Location, start = 0, end = location.size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const { hash, size } = location
    checkLocation(location)
    const object = await this.#step('read.open', () => this.#find(location, openRegularFile))
    if (!object) throw blobNotFound(hash)
    try {
      if (object.size !== size) throw blobCorrupted(hash, `${object.size} bytes instead of ${size}`)
      for (let at = start; at < end; ) {
        const length = Math.min(into ? READ_INTO_BYTES : CHUNK_BYTES, end - at)
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

  async size(location: Location): Promise<number | undefined> {
    checkLocation(location)
    return this.#step('read.open', () => this.#find(location, sizeOfFile))
  }

  async storedAt(location: Location): Promise<Date | undefined> {
    checkLocation(location)
    return this.#step('read.open', () => this.#find(location, async (path) => (await lstatIfExists(path))?.mtime))
  }

  async remove(location: Location): Promise<boolean> {
    checkLocation(location)
    const unlink = async (path: string) => (await unlinkIfExists(path)) || undefined
    return (await this.#step('remove.unlink', () => this.#find(location, unlink))) ?? false
  }

  /** Reads the whole object: only its hash tells if it is sound. */
  async has(location: Location): Promise<boolean> {
    const { hash, size } = location
    if ((await this.size(location)) !== size) return false
    return (await this.#step('has.read', () => this.#find(location, hashOfFile))) === hash
  }

  async *list({ after }: ListOptions = {}): AsyncGenerator<Location> {
    const from = after && objectName(after)
    for (const shard of SHARDS) {
      if (from === undefined || shard >= from.slice(0, 2)) yield* this.#listShard(shard, from ?? '')
    }
  }

  async quarantine(location: Location): Promise<boolean> {
    checkLocation(location)
    const found = await this.#step('quarantine.read', () => this.#find(location, hashOfFile))
    if (!found || found === location.hash) return false
    const quarantined = join(this.#quarantine, quarantineName(location))
    return this.#step('quarantine.rename', () => renameIfExists(this.path(location), quarantined))
  }

  async *quarantined(): AsyncGenerator<Quarantined> {
    for (const name of await this.#step('quarantine.read', () => readdir(this.#quarantine))) {
      const path = join(this.#quarantine, name)
      const hash = parseQuarantineName(name)
      const stat = hash && (await this.#step('quarantine.read', () => lstatIfExists(path)))
      if (!hash || !stat) continue
      const remove = async () => void (await this.#step('remove.unlink', () => unlinkIfExists(path)))
      yield { hash, movedAt: stat.ctime, remove } // a rename changes the ctime, not the mtime
    }
  }

  async sweepStaged(before: Date, { dryRun = false } = {}): Promise<number> {
    return this.#step('sweep.unlink', async () => {
      let swept = 0
      const removals = new Removals()
      for (const name of await readdir(this.#tmp)) {
        const path = join(this.#tmp, name)
        const stat = await lstatIfExists(path)
        if (!stat || stat.isDirectory() || stat.mtime >= before) continue
        if (dryRun || (await removals.try(() => unlinkIfExists(path)))) swept += 1
      }
      removals.end()
      return swept
    })
  }

  path(location: Place): string {
    return join(this.#shard(location), objectName(location))
  }

  async ping(): Promise<void> {
    try {
      await access(this.#objects, constants.R_OK | constants.W_OK)
      await access(this.#tmp, constants.W_OK)
    } catch (error) {
      throw fileError(error, 'ping')
    }
  }

  async *#listShard(shard: string, from: string): AsyncGenerator<Location> {
    const directory = join(this.#objects, shard)
    if (!(await isDirectory(directory))) return
    for (const name of (await readdir(directory)).sort()) {
      const location = name > from && name.startsWith(shard) ? parseObjectName(name) : undefined
      const stat = location && (await lstatIfExists(join(directory, name)))
      if (location && stat?.isFile()) yield { ...location, size: stat.size }
    }
  }

  #shard(location: Place): string {
    checkLocation(location)
    return join(this.#objects, location.hash.slice(0, 2))
  }

  /** Calls `look` with the path of an object, unless its shard is no directory. */
  async #find<T>(location: Place, look: (path: string) => Promise<T | undefined>): Promise<T | undefined> {
    return (await isDirectory(this.#shard(location))) ? look(this.path(location)) : undefined
  }

  async #openShard(location: Place): Promise<FileHandle> {
    const shard = this.#shard(location)
    try {
      return await openDirectory(shard)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      await makeDirectory(shard) // the shard was removed by someone else
      await syncDirectory(this.#objects)
      return openDirectory(shard)
    }
  }

  /** Creates and syncs the directories of the store. `topmost` is the topmost parent that was created for it. */
  async #makeDirectories(topmost: string | undefined): Promise<void> {
    await Promise.all([this.#objects, this.#tmp, this.#quarantine].map(makeDirectory))
    await Promise.all(SHARDS.map((shard) => makeDirectory(join(this.#objects, shard))))
    // Sync even if nothing was missing: the process that created a directory may have died before its sync.
    const directories = [this.#objects, this.#tmp, this.#quarantine, this.#root]
    await Promise.all(directories.map(syncDirectory))
    for (let path = this.#root; topmost && path.length >= topmost.length; path = dirname(path)) {
      await syncDirectory(dirname(path))
    }
  }

  /** Runs a step: calls the test hook first, and turns system errors into StorageErrors. */
  async #step<T>(step: LocalStep, run: () => Promise<T>): Promise<T> {
    try {
      if (this.#onStep) await this.#onStep(step)
      return await run()
    } catch (error) {
      throw fileError(error, step)
    }
  }
}
