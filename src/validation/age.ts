import * as z from 'zod/mini'
import { withFastCheck } from './fast-path.ts'
import { instantSchema } from './input.ts'
import { EARLIEST } from './instants.ts'

const AGE = /^(\d{1,9})([dhm])$/
const UNITS = new Map([
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
])

const message = 'must be a Date in the years 1 to 9999, or an age such as 30d, 12h or 45m'

/** A Date in the years 1 to 9999, or an age in days, hours or minutes. */
export const instantOrAgeSchema = withFastCheck(
  (value) => typeof value === 'string' && AGE.test(value),
  z.union([instantSchema, z.string().check(z.regex(AGE))], { error: message }),
)

/** Returns the instant that a Date is, or that an age counts back to from `now`. */
export function instantOf(given: Date | string, now: Date): Date {
  if (typeof given !== 'string') return given
  const [, amount = '', unit = ''] = AGE.exec(given) ?? []
  return new Date(Math.max(EARLIEST.getTime(), now.getTime() - Number(amount) * (UNITS.get(unit) ?? 0)))
}
