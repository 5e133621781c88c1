/** Set by `npm run test:soak`: the figures that are promised, rather than those that five minutes allow. */
export const soak = process.env.HOLDFAST_SOAK === '1'

/** How many rounds a test makes: `reduced` in `npm test`, `full` in `npm run test:soak`. */
export function rounds(reduced: number, full: number): number {
  return soak ? full : reduced
}
