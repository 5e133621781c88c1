import type { Driver } from '../../src/database/db.ts'
import type { Query } from '../../src/database/query.ts'

/** Returns a driver that records its queries in `sent`. */
export function recording(driver: Driver, sent: Query[]): Driver {
  return {
    dialect: driver.dialect,
    kit: driver.kit,
    journal: driver.journal,
    run: (query) => {
      sent.push(query)
      return driver.run(query)
    },
    snapshot: () => driver.snapshot(),
    batch: (queries) => {
      sent.push(...queries)
      return driver.batch(queries)
    },
    begin: async () => {
      const transaction = await driver.begin()
      return {
        run: (query) => {
          sent.push(query)
          return transaction.run(query)
        },
        commit: () => transaction.commit(),
        rollback: () => transaction.rollback(),
        abandon: () => transaction.abandon(),
      }
    },
    dataVersion: () => driver.dataVersion(),
    size: () => driver.size(),
    server: () => driver.server(),
    diagnose: () => driver.diagnose(),
    close: () => driver.close(),
  }
}
