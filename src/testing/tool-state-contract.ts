import assert from 'node:assert/strict'
import { AWKWARD_PREFIXES, allPages, badCursors, byBytes, type Cases, eachInput, invalid, shown } from './contract.ts'

/** The cases of `storage.toolState`. */
export const toolStateCases: Cases = {
  ...eachInput(
    [null, '10', '\u0000\ud800', { '2': 1, '1': [2 ** 53] }, [], false],
    (value) => `get() returns ${shown(value)} if that was set`,
    async (value, { storage: { toolState }, name, clock }) => {
      await toolState.set(name(), 'k', 'before')
      const entry = await toolState.set(name(), 'k', value)
      assert.deepEqual(entry, { tool: name(), key: 'k', value, updatedAt: clock.now() })
      for (let reads = 0; reads < 2; reads++) {
        assert.equal(JSON.stringify(await toolState.get(name(), 'k')), JSON.stringify(value))
      }
    },
  ),

  async 'get() returns undefined if there is no such key'({ storage: { toolState }, name }) {
    assert.equal(await toolState.get(name(), 'k'), undefined)
  },

  async 'delete() returns true if the key existed'({ storage: { toolState }, name }) {
    await toolState.set(name(), 'k', false)
    await toolState.get(name(), 'k')
    assert.equal(await toolState.delete(name(), 'k'), true)
    assert.equal(await toolState.delete(name(), 'k'), false)
    assert.equal(await toolState.get(name(), 'k'), undefined)
  },

  async 'set() and delete() do not change a similar tool and key'({ storage: { toolState }, name }) {
    const entries = [
      [name('user'), '1:a'],
      [name('user:1'), 'a'],
      [name('user:10'), 'a'],
      [name('user'), '1'],
      [name('user:1'), ':a'],
      [name('"user"'), 'a'],
    ] as const
    for (const [tool, key] of entries) await toolState.set(tool, key, { tool, key })
    for (const [tool, key] of entries) assert.deepEqual(await toolState.get(tool, key), { tool, key })
    assert.deepEqual((await toolState.keys(name('user'))).items, ['1', '1:a'])
    assert.deepEqual((await toolState.keys(name('user:1'))).items, [':a', 'a'])
    assert.deepEqual((await toolState.keys(name('user:'))).items, [])
    assert.equal(await toolState.delete(name('user:1'), 'a'), true)
    assert.deepEqual(await toolState.get(name('user:10'), 'a'), { tool: name('user:10'), key: 'a' })
  },

  async 'keys() matches a prefix byte for byte, in byte order'({ storage: { toolState }, name }) {
    const keys = [
      'user:1',
      'user:1:a',
      'user:1:b',
      'user:10',
      'user:10:a',
      'user%',
      'user_',
      ...AWKWARD_PREFIXES.slice(1),
    ]
    await Promise.all(keys.map((key) => toolState.set(name(), key, key)))
    await Promise.all(keys.map((key) => toolState.set(name('other'), `${key}!`, key)))
    for (const prefix of [...AWKWARD_PREFIXES, 'user', 'user:1', 'user:1:', 'user:10', 'user_', 'user%', 'User']) {
      const listed = await allPages((page) => toolState.keys(name(), { prefix, ...page }), 3)
      assert.deepEqual(listed, keys.filter((key) => key.startsWith(prefix)).toSorted(byBytes))
    }
  },

  ...eachInput(
    [undefined, Number.NaN, new Date(0), 1n],
    (value) => `set() rejects the value ${shown(value)} and changes nothing`,
    async (value, { storage: { toolState }, name }) => {
      await toolState.set(name(), 'k', 'before')
      await invalid(toolState.set(name(), 'k', value), 'value')
      assert.equal(await toolState.get(name(), 'k'), 'before')
    },
  ),

  async 'set(), get() and keys() reject tools, keys and prefixes that are not valid'({ storage: { toolState }, name }) {
    await invalid(toolState.set('', 'k', 1), 'tool')
    await invalid(toolState.set('x'.repeat(256), 'k', 1), 'tool')
    await invalid(toolState.set(name(), '', 1), 'key')
    await invalid(toolState.get(name(), 'x'.repeat(1025)), 'key')
    await invalid(toolState.keys(name(), { prefix: '\0' }), 'options.prefix')
  },

  async 'keys() rejects cursors that it did not return'({ storage: { toolState }, name }) {
    await badCursors((cursor) => toolState.keys(name(), { cursor }))
  },
}
