/** How often another writer may remove the row between the two statements. */
const MAX_TRIES = 10

/**
 * Inserts a row, or finds the one that is there already. If somebody removes that one before it is found, tries again. Returns
 * undefined if that happens every time.
 */
export async function insertedOrFound<Row>(
  insert: () => Promise<Row | undefined>,
  find: () => Promise<Row | undefined>,
): Promise<{ row: Row; isNew: boolean } | undefined> {
  for (let i = 0; i < MAX_TRIES; i++) {
    const inserted = await insert()
    if (inserted !== undefined) return { row: inserted, isNew: true }
    const found = await find()
    if (found !== undefined) return { row: found, isNew: false }
  }
  return undefined
}
