/** A logger that drops everything. */
export const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Options of a storage that logs nothing and runs no maintenance by itself. */
export const quiet = { maintenance: false, logger: silent }
