// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are templates of configuration files
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { interpolate } from '../../src/config/variables.ts'
import { StorageError } from '../../src/errors.ts'

const replace = (input: unknown, env: Record<string, string | undefined> = {}) =>
  interpolate(input, { env, agentDir: '/agent', source: 'agent.yml' })

test.each([
  ['$A', 'one'],
  ['${A}', 'one'],
  ['x-$A-$B_2/${A}y', 'x-one-two/oney'],
  ['$$A', '$A'],
  ['$$$A', '$one'],
  ['$$$$', '$$'],
  ['$${A}', '${A}'],
  ['$${{dexto.agent_dir}}', '${{dexto.agent_dir}}'],
  ['${{dexto.agent_dir}}/data', '/agent/data'],
  ['${{ dexto.agent_dir }}', '/agent'],
  ['5$ and $1 and $', '5$ and $1 and $'],
  ['$EMPTY', ''],
  ['${A:-x}', 'one'],
  ['${NONE:-x}', 'x'],
  ['${EMPTY:-x}', 'x'],
  ['<${NONE:-}>', '<>'],
  ['${NONE:-redis://h:6379/0}', 'redis://h:6379/0'],
  ['${NONE:-a:-b}', 'a:-b'],
  ['${NONE:-pa$$$$word}/$A', 'pa$$word/one'],
  ['${constructor:-x}', 'x'],
])('interpolate() turns %s into %s', (written, expected) => {
  expect(replace(written, { A: 'one', B_2: 'two', EMPTY: '' })).toBe(expected)
})

test('interpolate() replaces text at any depth, and neither keys nor other types', () => {
  const input = { $A: ['$A', { b: '$A' }], n: 1, t: true, nothing: null }
  expect(replace(input, { A: 'x' })).toEqual({ $A: ['x', { b: 'x' }], n: 1, t: true, nothing: null })
  expect(input.$A[0]).toBe('$A')
})

test('interpolate() does not replace variables within the value of a variable', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', 'x') }), (value) => {
      expect(replace('<$A|${A}>', { A: value })).toBe(`<${value}|${value}>`)
    }),
  )
})

test('interpolate() returns any text unchanged if its dollars are doubled', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', ' ') }), (text) => {
      expect(replace(text.replaceAll('$', '$$$$'))).toBe(text)
    }),
  )
})

/** Returns the error that interpolate() throws. */
function errorOf(input: unknown, env = {}): StorageError {
  try {
    replace(input, env)
  } catch (error) {
    if (error instanceof StorageError) return error
  }
  throw new Error('was accepted')
}

test('interpolate() names every missing variable with its path', () => {
  const error = errorOf(
    { storage: { a: '$ONE', list: ['ok', { b: '${TWO}-$ONE' }], c: '$SET' } },
    { SET: 'geheim', TWO: undefined },
  )
  expect(error.code).toBe('CONFIG_ENV_MISSING')
  expect(error.details).toMatchObject({ variables: ['ONE', 'TWO'] })
  expect(error.message).toBe(
    [
      'agent.yml is not valid:',
      '  storage.a: the environment variable ONE is not set; set it, or write $$ for a literal dollar',
      '  storage.list[1].b: the environment variable TWO is not set; set it, or write $$ for a literal dollar',
      '  storage.list[1].b: the environment variable ONE is not set; set it, or write $$ for a literal dollar',
    ].join('\n'),
  )
})

test('interpolate() does not take a property of Object.prototype for a variable', () => {
  expect(errorOf('$constructor').code).toBe('CONFIG_ENV_MISSING')
})

test.each([
  ['${{agent.name}}', 'unknown template ${{agent.name}}; expected ${{dexto.agent_dir}}'],
  ['${{}}', 'unknown template ${{}}'],
  ['${A:?x}', 'expected ${NAME} or ${NAME:-default}'],
  ['${A-x}', 'expected ${NAME} or ${NAME:-default}'],
  ['${:-x}', 'expected ${NAME} or ${NAME:-default}'],
  ['${B:-${A}}', 'a default cannot contain a variable'],
  ['${B:-x-${A}-y}', 'a default cannot contain a variable'],
  ['${B:-$A}', 'a default cannot contain a variable'],
  ['${}', 'expected ${NAME}'],
  ['${A', 'expected ${NAME}'],
  ['${{A}', 'expected ${NAME}'],
])('interpolate() rejects %s: %s', (written, message) => {
  const error = errorOf({ storage: { a: written } }, { A: 'geheim' })
  expect(error.code).toBe('CONFIG_INVALID')
  expect(error.message).toContain(`storage.a: ${message}`)
  expect(error.message).not.toContain('geheim')
})
