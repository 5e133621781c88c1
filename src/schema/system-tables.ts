import type { Columns } from './columns.ts'

/** What Holdfast keeps about the database itself. */
export function defineSystemTables(c: Columns) {
  /** Facts about this database, such as the id that sets its cache keys apart. */
  const properties = c.table('properties', {
    name: c.text('name').primaryKey(),
    value: c.text('value').notNull(),
  })

  /** Which instance runs a periodic step at the moment, so that one instance of many runs it. */
  const maintenanceLeases = c.table('maintenance_leases', {
    step: c.text('step').primaryKey(),
    holder: c.text('holder').notNull(),
    expiresAt: c.instant('expires_at').notNull(),
  })

  return { properties, maintenanceLeases }
}
