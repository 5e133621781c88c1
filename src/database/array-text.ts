/** Returns a PostgreSQL array as text. A statement casts it: `cast(${text} as text)::text[]`. */
export function arrayText(items: readonly (string | null)[]): string {
  return `{${items.map((item) => (item === null ? 'NULL' : `"${item.replaceAll(/["\\]/g, '\\$&')}"`)).join()}}`
}
