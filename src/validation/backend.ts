import * as z from 'zod/mini'
import { withFastCheck } from './fast-path.ts'

/**
 * Makes a schema for a backend of the program's own: an object with a text as its `type`, and with these methods. Each
 * missing method is a problem with its own path.
 */
export function backendSchema<T extends object>(methods: Readonly<Record<string, true>>) {
  const missingIn = (backend: object) =>
    Object.keys(methods).filter((method) => typeof Reflect.get(backend, method) !== 'function')
  const hasType = (backend: object) => typeof Reflect.get(backend, 'type') === 'string'
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
  const schema = z.custom<T>(isObject, 'must be an object').check(
    z.superRefine((backend: object, context) => {
      if (!hasType(backend)) context.addIssue({ code: 'custom', path: ['type'], message: 'must be a text' })
      for (const method of missingIn(backend)) {
        context.addIssue({ code: 'custom', path: [method], message: 'must be a method' })
      }
    }),
  )
  return withFastCheck((value) => isObject(value) && hasType(value) && missingIn(value).length === 0, schema)
}
