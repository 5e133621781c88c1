import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as z from 'zod/mini'
import { rootSchema } from '../../src/config/index.ts'

/** The fields of each interface of types.ts, inherited ones included: the names in their type, and their comment. */
const interfaces = interfacesIn(readFileSync(join(import.meta.dirname, '../../src/config/types.ts'), 'utf8'))

interface Field {
  types: string[]
  comment: string
}

/** Returns the fields of each interface in a source. */
function interfacesIn(source: string): Map<string, Map<string, Field>> {
  const unions = [...source.matchAll(/^export type (\w+) =\s(.*(?:\n {2}\| .*)*)/gm)].map(
    ([, name = '', members = '']) => {
      return [name, namesIn(members)] as const
    },
  )
  const found = new Map<string, Map<string, Field>>()
  for (const [, name = '', parent = '', body = ''] of source.matchAll(
    /^export interface (\w+)(?: extends (\w+))? \{\n(.*?)^\}/gms,
  )) {
    const fields = new Map(found.get(parent))
    for (const [, comment = '', field = '', type = ''] of body.matchAll(
      /(?: {2}\/\*\* (.*) \*\/\n)? {2}(\w+)\??: (.*)/g,
    )) {
      const types = namesIn(type).flatMap((each) => new Map(unions).get(each) ?? [each])
      fields.set(field, { types, comment })
    }
    found.set(name, fields)
  }
  return found
}

function namesIn(type: string): string[] {
  return type.match(/\b[A-Z]\w+/g) ?? []
}

interface Documented {
  path: string
  comment: string
  description: string
}

/** Walks an interface and its schema together. */
function documentedIn(name: string, schema: z.ZodMiniObject, path = ''): Documented[] {
  return Object.entries(schema.shape).flatMap(([key, property]) => {
    const { types, comment } = interfaces.get(name)?.get(key) ?? { types: [], comment: 'there is no such field' }
    const at = `${path}${key}`
    const parts = objectsIn(property).flatMap((object, i) => documentedIn(types[i] ?? '', object, `${at}.`))
    return [{ path: at, comment, description: z.globalRegistry.get(property)?.description ?? '' }, ...parts]
  })
}

/** Returns the object schemas within a schema, in their order, except those without fields, which have no interface. */
function objectsIn(schema: z.core.$ZodType): z.ZodMiniObject[] {
  if (schema instanceof z.ZodMiniObject) return Object.keys(schema.shape).length > 0 ? [schema] : []
  if (schema instanceof z.ZodMiniUnion || schema instanceof z.ZodMiniDiscriminatedUnion)
    return schema.def.options.flatMap(objectsIn)
  if (schema instanceof z.ZodMiniArray) return objectsIn(schema.def.element)
  if (schema instanceof z.ZodMiniPipe) return objectsIn(schema.def.in)
  if (
    schema instanceof z.ZodMiniOptional ||
    schema instanceof z.ZodMiniNullable ||
    schema instanceof z.ZodMiniDefault ||
    schema instanceof z.ZodMiniPrefault
  ) {
    return objectsIn(schema.def.innerType)
  }
  return []
}

const documented = documentedIn('StorageConfigFile', rootSchema)

test('the comment of every field in types.ts equals its description in the schema', () => {
  expect(documented.length).toBeGreaterThan(60)
  for (const { path, comment, description } of documented) expect(comment, path).toBe(description)
})

test('every field in types.ts has a comment, except the type that selects a backend', () => {
  const silent = documented.filter(({ description }) => description === '').map(({ path }) => path)
  expect(silent.filter((path) => !/^storage\.\w+\.type$/.test(path))).toEqual([])
})
