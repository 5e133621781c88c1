/** The earliest instant that every database stores. */
export const EARLIEST = new Date('0001-01-01T00:00:00.000Z')

/** The latest instant that every database stores. */
export const LATEST = new Date('9999-12-31T23:59:59.999Z')
