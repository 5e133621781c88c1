import type { Attributes } from '@opentelemetry/api'
import type { DatabaseSource } from '../observability/channels.ts'

/** The systems that the semantic conventions have a name for. */
export const SYSTEMS: Readonly<Record<string, string>> = { sqlite: 'sqlite', postgres: 'postgresql', redis: 'redis' }

/** Returns the system and the database. A store in memory, or one of the program's own, is no database. */
export function sourceAttributes({ database, namespace }: DatabaseSource): Attributes {
  return defined({ 'db.system.name': SYSTEMS[database], 'db.namespace': namespace })
}

/** Returns the attributes that have a value. */
export function defined(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}
