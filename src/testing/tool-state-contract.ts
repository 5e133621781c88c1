import assert from 'node:assert/strict'
import { AWKWARD_PREFIXES, allPages, badCursors, byBytes, type Cases, invalid } from './contract.ts'

/** `storage.toolState`. */
export const toolStateCases: Cases = {
  async 'set and get any JSON'({ storage: { toolState }, name, clock }) {
    assert.equal(await toolState.get(name(), 'k'), undefined)
    for (const value of [null, '10', '\u0000\ud800', { '2': 1, '1': [2 ** 53] }, [], false]) {
      const entry = await toolState.set(name(), 'k', value)
      assert.deepEqual(entry, { tool: name(), key: 'k', value, updatedAt: clock.now() })
      for (let reads = 0; reads < 2; reads++) {
        assert.equal(JSON.stringify(await toolState.get(name(), 'k')), JSON.stringify(value))
      }
    }
    assert.equal(await toolState.delete(name(), 'k'), true)
    assert.equal(await toolState.delete(name(), 'k'), false)
    assert.equal(await toolState.get(name(), 'k'), undefined)
  },

  async 'keep tools apart'({ storage: { toolState }, name }) {
    const places = [
      [name('user'), '1:a'],
      [name('user:1'), 'a'],
      [name('user:10'), 'a'],
      [name('user'), '1'],
      [name('user:1'), ':a'],
      [name('"user"'), 'a'],
    ] as const
    for (const [tool, key] of places) await toolState.set(tool, key, { tool, key })
    for (const [tool, key] of places) assert.deepEqual(await toolState.get(tool, key), { tool, key })
    assert.deepEqual((await toolState.keys(name('user'))).items, ['1', '1:a'])
    assert.deepEqual((await toolState.keys(name('user:1'))).items, [':a', 'a'])
    assert.deepEqual((await toolState.keys(name('user:'))).items, [])
    assert.equal(await toolState.delete(name('user:1'), 'a'), true)
    assert.deepEqual(await toolState.get(name('user:10'), 'a'), { tool: name('user:10'), key: 'a' })
  },

  async 'keys page through a prefix, to the letter'({ storage: { toolState }, name }) {
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

  async 'refuse what cannot be stored, and change nothing'({ storage: { toolState }, name }) {
    await toolState.set(name(), 'k', 'before')
    for (const value of [undefined, Number.NaN, new Date(), 1n])
      await invalid(toolState.set(name(), 'k', value), 'value')
    await invalid(toolState.set('', 'k', 1), 'tool')
    await invalid(toolState.set('x'.repeat(256), 'k', 1), 'tool')
    await invalid(toolState.set(name(), '', 1), 'key')
    await invalid(toolState.get(name(), 'x'.repeat(1025)), 'key')
    await invalid(toolState.keys(name(), { prefix: '\0' }), 'options.prefix')
    await badCursors((cursor) => toolState.keys(name(), { cursor }))
    assert.equal(await toolState.get(name(), 'k'), 'before')
  },
}
