import * as z from 'zod/mini'
import { english } from './english.ts'

/** The options with which input is parsed: each message says what the value must be, and never repeats the value. */
export const explained = { error: explain }

const TYPES: Record<string, string> = {
  object: 'an object',
  array: 'an array',
  tuple: 'an array',
  int: 'an integer',
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
}

function explain(issue: z.core.$ZodRawIssue): ReturnType<typeof english.error> {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.inst instanceof z.ZodMiniObject ? `is unknown here: known are ${fieldsOf(issue.inst)}` : undefined
    case 'invalid_type': {
      const kind = kindOf(issue.input)
      const not = issue.expected === 'int' && kind === 'number' ? '' : `, not ${kind}`
      const fields = issue.inst instanceof z.ZodMiniObject ? `: known are ${fieldsOf(issue.inst)}` : ''
      return `must be ${TYPES[issue.expected] ?? issue.expected}${not}${fields}`
    }
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`
    case 'too_big':
      return `must ${boundOf(issue.origin, `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`)}`
    case 'too_small':
      return `must ${boundOf(issue.origin, `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`)}`
    default:
      return english.error(issue)
  }
}

function fieldsOf({ shape }: z.ZodMiniObject): string {
  return Object.keys(shape).join(', ')
}

function boundOf(origin: string, bound: string): string {
  return origin === 'array' ? `have ${bound} items` : `be ${bound}`
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return Number.isNaN(value) ? 'NaN' : typeof value
}
