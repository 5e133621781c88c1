import type { Columns } from './columns.ts'

/** Defines the tables for what Holdfast keeps about the database itself. */
export function defineSystemTables(c: Columns) {
  /** Facts about this database, such as the id that is part of its cache keys. */
  const properties = c.table('properties', {
    name: c.text('name').primaryKey(),
    value: c.text('value').notNull(),
  })

  /** The instance that currently runs each periodic step, so that only one of many instances runs it. */
  const maintenanceLeases = c.table('maintenance_leases', {
    step: c.text('step').primaryKey(),
    holder: c.text('holder').notNull(),
    expiresAt: c.instant('expires_at').notNull(),
  })

  return { properties, maintenanceLeases }
}
