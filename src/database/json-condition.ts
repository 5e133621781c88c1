import type { Json } from '../schema/values.ts'

/** A test of one property: `in` and `notIn` compare with all values, the others with the first. */
export interface JsonCondition {
  property: string
  test: 'in' | 'notIn' | 'gt' | 'gte' | 'lt' | 'lte'
  values: readonly Json[]
}
