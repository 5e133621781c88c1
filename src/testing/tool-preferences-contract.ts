import assert from 'node:assert/strict'
import { allPages, badCursors, byBytes, type Cases, invalid, times } from './contract.ts'

/** The cases of `storage.toolPreferences`. */
export const toolPreferenceCases: Cases = {
  async 'isAllowed() returns true if the tool is allowed in the session or everywhere'({
    storage: { toolPreferences: p },
    name,
  }) {
    const tool = name('tool')
    assert.equal(await p.isAllowed(tool, name()), false)
    await p.allow(tool, name())
    await p.allow(tool, name())
    const allowed = () => Promise.all([p.isAllowed(tool, name()), p.isAllowed(tool, name('other')), p.isAllowed(tool)])
    assert.deepEqual(await allowed(), [true, false, false])
    await p.allow(tool)
    assert.deepEqual(await allowed(), [true, true, true])
    assert.equal(await p.disallow(tool, name()), true)
    assert.equal(await p.disallow(tool, name()), false)
    assert.deepEqual(await allowed(), [true, true, true])
    assert.equal(await p.disallow(tool), true)
    assert.deepEqual(await allowed(), [false, false, false])
    assert.equal(await p.isAllowed(`${tool}2`, name()), false)
  },

  async 'allow() loses nothing when 100 calls run at once'({ storage: { toolPreferences }, name }) {
    const tools = times(50, (i) => `tool ${i}`)
    await Promise.all([...tools, ...tools].map((tool) => toolPreferences.allow(tool, name())))
    const listed = await allPages((page) => toolPreferences.listAllowed({ sessionId: name(), ...page }), 7)
    assert.deepEqual(listed, tools.toSorted(byBytes))
  },

  async 'listAllowed() separates the tools of a session from those allowed everywhere'({ storage, name }) {
    const { toolPreferences } = storage
    await toolPreferences.allow('tool 1', name())
    await toolPreferences.allow(name('everywhere'))
    const everywhere = await allPages((page) => toolPreferences.listAllowed(page), 100)
    assert.ok(everywhere.includes(name('everywhere')) && !everywhere.includes('tool 1'))
    assert.deepEqual(await toolPreferences.listAllowed({ sessionId: name('other') }), { items: [] })
    await toolPreferences.disallow(name('everywhere'))
  },

  async 'setPreferences() replaces the preferences of one session alone'({ storage: { toolPreferences: p }, name }) {
    assert.equal(await p.getPreferences(name()), undefined)
    const set = await p.setPreferences({ autoApproved: ['read', 'list'], disabled: ['shell'] }, name())
    assert.deepEqual(set, { autoApproved: ['read', 'list'], disabled: ['shell'] })
    assert.deepEqual(await p.getPreferences(name()), set)
    assert.equal(await p.getPreferences(name('other')), undefined)
    assert.deepEqual(await p.setPreferences({ disabled: ['read'] }, name()), { autoApproved: [], disabled: ['read'] })
    assert.deepEqual(await p.getPreferences(name()), { autoApproved: [], disabled: ['read'] })
    await p.setPreferences({ autoApproved: ['global'] })
    assert.deepEqual((await p.getPreferences())?.autoApproved, ['global'])
    assert.equal(await p.deletePreferences(name()), true)
    assert.equal(await p.deletePreferences(name()), false)
    assert.equal(await p.getPreferences(name()), undefined)
    assert.equal(await p.deletePreferences(), true)
  },

  async 'every call rejects arguments that are not valid, and changes nothing'({
    storage: { toolPreferences: p },
    name,
  }) {
    await p.setPreferences({ disabled: ['before'] }, name())
    await invalid(p.allow('', name()), 'tool')
    await invalid(p.allow('t', ''), 'sessionId')
    await invalid(p.isAllowed('t\0'), 'tool')
    await invalid(p.setPreferences({ disabled: ['a', ''] }, name()), 'preferences.disabled.1')
    await invalid(p.setPreferences({ enabled: [] } as object, name()), 'preferences.enabled')
    await invalid(p.getPreferences(''), 'sessionId')
    assert.deepEqual((await p.getPreferences(name()))?.disabled, ['before'])
  },

  async 'listAllowed() rejects cursors that it did not return'({ storage: { toolPreferences } }) {
    await badCursors((cursor) => toolPreferences.listAllowed({ cursor }))
  },
}
