import type { PostgresConnection } from './connection.ts'

const BEGIN = 'BEGIN ISOLATION LEVEL SERIALIZABLE'

/**
 * Waits for the other transactions that take turns, of all processes. A lock of a table in a mode that conflicts with no
 * statement: only LOCK TABLE comes before the snapshot, so that the transaction sees what it has waited for.
 */
const takeTurn = (millis: number) => [
  `SET LOCAL lock_timeout = ${millis}`,
  'LOCK TABLE maintenance_leases IN SHARE UPDATE EXCLUSIVE MODE',
  'SET LOCAL lock_timeout TO DEFAULT',
]

/**
 * Begins a serializable transaction. With `turnMillis` it takes a turn: until it ends, others that take one wait, for so long
 * at most. Then they run beside it, as it may wait for them itself.
 */
export async function beginSerializable(connection: PostgresConnection, turnMillis?: number): Promise<void> {
  if (turnMillis !== undefined) {
    try {
      await Promise.all([BEGIN, ...takeTurn(turnMillis)].map((sql) => connection.command(sql)))
      return
    } catch {
      await connection.command('ROLLBACK') // somebody had the turn for too long
    }
  }
  await connection.command(BEGIN)
}
