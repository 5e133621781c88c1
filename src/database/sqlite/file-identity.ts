import { type BigIntStats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { codeOf } from '../../caught.ts'
import { StorageError } from '../../errors.ts'
import { sqliteError } from './errors.ts'

/**
 * Knows which file a connection has opened. SQLite goes on writing to a file that has been deleted, and acknowledges what
 * nobody will ever read.
 */
export class FileIdentity {
  readonly #file: string
  readonly #device: bigint
  readonly #inode: bigint

  private constructor(file: string, device: bigint, inode: bigint) {
    this.#file = file
    this.#device = device
    this.#inode = inode
  }

  /** Reads the identity of a file that has just been opened. */
  static of(file: string): FileIdentity {
    const { dev, ino } = statSync(file, { bigint: true })
    return new FileIdentity(file, dev, ino)
  }

  /** Returns the error DATABASE_MOVED if the path leads to another file, or to none. */
  moved(): Promise<StorageError | undefined> {
    return stat(this.#file, { bigint: true }).then(
      (found) => this.#compare(found),
      (error) => this.#unseen(error),
    )
  }

  /**
   * Opens a further connection on the file.
   *
   * @throws {DATABASE_MOVED} when the path leads to another file by now, or to none
   */
  reopen<Connection extends { close(): void }>(open: () => Connection): Connection {
    let opened: Connection
    try {
      opened = open()
    } catch (error) {
      throw this.#movedNow() ?? sqliteError(error, this.#file)
    }
    const moved = this.#movedNow()
    if (moved === undefined) return opened
    opened.close()
    throw moved
  }

  #movedNow(): StorageError | undefined {
    try {
      return this.#compare(statSync(this.#file, { bigint: true }))
    } catch (error) {
      return this.#unseen(error)
    }
  }

  #compare({ dev, ino }: BigIntStats): StorageError | undefined {
    return dev === this.#device && ino === this.#inode ? undefined : this.#error('replaced')
  }

  #unseen(error: unknown): StorageError | undefined {
    const isGone = ['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')
    return isGone ? this.#error('deleted or renamed') : undefined // what cannot be seen may still be there
  }

  #error(what: string): StorageError {
    const message = `The SQLite file ${this.#file} was ${what} while it was open: the last writes are not in it. Open the storage again`
    return new StorageError('DATABASE_MOVED', message, { details: { file: this.#file } })
  }
}
