/** True in `npm run test:soak`, which runs the full number of rounds instead of what fits into five minutes. */
export const soak = process.env.HOLDFAST_SOAK === '1'

/** Returns the number of rounds of a test: `reduced` in `npm test`, `full` in `npm run test:soak`. */
export function rounds(reduced: number, full: number): number {
  return soak ? full : reduced
}
