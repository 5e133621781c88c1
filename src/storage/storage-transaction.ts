import type { Blobs } from '../blobs/blobs.ts'
import type { Repositories } from '../repositories/repositories.ts'
import type { SessionSummary } from '../repositories/sessions/types.ts'

/** What the callback of a transaction receives: every repository and the blobs, bound to the transaction. */
export interface StorageTransaction extends Repositories {
  readonly blobs: Blobs
  /**
   * Locks a session until the transaction ends, and returns it with its counters, or undefined if it does not exist. Others
   * who append to the session, change or lock it wait until then: what this transaction reads of the session's messages
   * after the lock stays true. A session that does not exist cannot be locked. Safe to repeat.
   *
   * @throws {TIMEOUT} when the lock was not free in time.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ id: 'chat' })
   * await storage.transaction(async (tx) => {
   *   const session = await tx.lockSession('chat')
   *   if (session?.messageCount === 0) await tx.messages.append('chat', { role: 'system', content: 'Be brief.' })
   * })
   * ```
   */
  lockSession(id: string): Promise<SessionSummary | undefined>
  /**
   * Notes that an operation of a session is done by this transaction, and creates the session if needed. Returns 'first',
   * or 'repeated' if an earlier transaction has done it: then do not do it again. Of two transactions at once the second
   * waits for the first. The record goes with its session. `payload` is any JSON that says what is to be done; only a hash
   * of it is kept. Default null.
   *
   * @throws {INVALID_STATE} when the operation was done with another payload.
   * @throws {INVALID_INPUT} when an id or the payload is not valid.
   *
   * @example
   * ```ts
   * const save = () =>
   *   storage.transaction(async (tx) => {
   *     if ((await tx.once('chat', 'turn-7')) === 'repeated') return
   *     await tx.messages.append('chat', { role: 'user', content: 'Once and no more.' })
   *   })
   * await Promise.all([save(), save()])
   * console.log((await storage.messages.list('chat')).items.length) // 1
   * ```
   */
  once(sessionId: string, operationId: string, payload?: unknown): Promise<'first' | 'repeated'>
  /**
   * Runs `body` in a savepoint of this transaction. If `body` throws, only the changes made through its `tx` are
   * undone; catch the error to go on with the enclosing transaction. Savepoints of one transaction run one after the
   * other.
   *
   * @throws {TRANSACTION_MISUSE} when this transaction has ended, or the call is made inside one of its own savepoints
   * @throws {CONNECTION_LOST} when the connection was lost; the whole transaction is rolled back
   * @throws {INVALID_INPUT} when `body` is not a function
   *
   * @example
   * ```ts
   * await storage.transaction(async (tx) => {
   *   await tx.messages.append('chat', { role: 'user', content: 'Hello' })
   *   await tx.transaction((inner) => inner.kv.set('theme', 'dark')).catch(console.error)
   * })
   * ```
   */
  transaction<T>(body: (tx: StorageTransaction) => Promise<T>): Promise<T>
}
