import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { pageText, root } from '../docs/pages.ts'
import { silent } from '../setup/silent.ts'

/** The rows of the table of codes. */
const documented = Array.from(
  pageText('docs/observability.md').matchAll(/^\| `([A-Z_]+)` \| (\w+) \| (\w+) \| (.*?) \|/gm),
  ([, code, level, component, fields = '']) => ({ code, level, component, fields }),
)
const codes = documented.map(({ code }) => code)

it('docs/observability.md has every code of a line, with its component, and no other', () => {
  const [, union = ''] = /export type LogCode =([^/]*)/.exec(readFileSync(join(root, 'src/logger.ts'), 'utf8')) ?? []
  expect(Array.from(union.matchAll(/'(\w+)'/g), ([, code]) => code)).toEqual(codes)
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const sources = files
    .filter((file) => !file.includes('node_modules'))
    .map((file) => readFileSync(join(root, 'src', file), 'utf8'))
    .join('\n')
  const lines = Array.from(sources.matchAll(/component: '(\w+)',\s*code: '([A-Z_]+)'/g), ([, component, code]) => ({
    code,
    component,
  }))
  const expected = documented.map(({ code, component }) => ({ code, component }))
  const inOrder = (a: { code?: string | undefined }, b: { code?: string | undefined }) =>
    `${a.code}`.localeCompare(`${b.code}`)
  expect(lines.toSorted(inOrder)).toEqual(expected.toSorted(inOrder))
})

it('a slow call is logged with its tables, a failed one with its code as well, and a fast one is not', async () => {
  const lines: unknown[] = []
  const logger = { ...silent, warn: (_: string, details: object) => void lines.push(details) }
  await using storage = await openStorage({}, { logger, maintenance: false, slowOperationMillis: 500 })
  const wait = () => new Promise((resolve) => setTimeout(resolve, 520))
  await storage.kv.get('fast')
  await storage.scope({ ownerId: 'ada' }).lists.update('list', async () => {
    await wait()
    return { items: ['not told'], result: 0 }
  })
  await storage
    .transaction((tx) =>
      tx.lists.update('list', async () => {
        await wait()
        throw new Error('not told')
      }),
    )
    .catch(() => {})
  const line = {
    component: 'storage',
    code: 'SLOW_OPERATION',
    operation: 'lists.update',
    tables: ['list_items', 'lists', 'sessions'],
    latencyMs: expect.any(Number),
  }
  expect(lines).toEqual([line, { ...line, error: '_OTHER' }])
})
