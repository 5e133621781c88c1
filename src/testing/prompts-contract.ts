import assert from 'node:assert/strict'
import { AWKWARD_PREFIXES, allPages, badCursors, byBytes, type Cases, invalid, times } from './contract.ts'

/** `storage.prompts`. */
export const promptCases: Cases = {
  async 'save a prompt whole, in the place of the one before'({ storage: { prompts }, name, clock }) {
    const content = [{ role: 'system', content: 'Be brief.\u0000' }]
    const saved = await prompts.save({ name: name(), content, description: 'd', metadata: { '2': 1, '1': 2 } })
    const [createdAt, updatedAt] = [clock.now(), clock.now()]
    const expected = { name: name(), content, description: 'd', metadata: { '2': 1, '1': 2 }, version: 1 }
    assert.deepEqual(saved, { ...expected, createdAt, updatedAt })
    assert.deepEqual(await prompts.get(name()), saved)
    clock.advance(5)
    const again = await prompts.save({ name: name(), content: 'text' })
    const replaced = { content: 'text', description: null, metadata: {}, version: 2, updatedAt: clock.now() }
    assert.deepEqual(again, { ...saved, ...replaced })
    assert.deepEqual(await prompts.get(name()), again)
    assert.equal((await prompts.save({ name: name(), content: null })).content, null)
    assert.equal(await prompts.get(name('absent')), undefined)
    await Promise.all(times(20, (i) => prompts.save({ name: name('many'), content: i })))
    assert.equal((await prompts.get(name('many')))?.version, 20)
  },

  async 'delete tells whether there was one'({ storage: { prompts }, name }) {
    await prompts.save({ name: name(), content: 'x' })
    await prompts.get(name())
    assert.equal(await prompts.delete(name()), true)
    assert.equal(await prompts.get(name()), undefined)
    assert.equal(await prompts.delete(name()), false)
    assert.equal((await prompts.save({ name: name(), content: 'x' })).version, 1)
  },

  async 'list by a prefix, to the letter'({ storage: { prompts }, name }) {
    const names = AWKWARD_PREFIXES.map((prefix) => name(prefix)).toSorted(byBytes)
    await Promise.all(names.map((each) => prompts.save({ name: each, content: each })))
    for (const prefix of AWKWARD_PREFIXES) {
      const listed = await allPages((page) => prompts.list({ prefix: name(prefix), ...page }), 4)
      assert.deepEqual(
        listed.map(({ content }) => content),
        names.filter((each) => each.startsWith(name(prefix))),
      )
    }
  },

  async 'refuse what cannot be stored, and change nothing'({ storage: { prompts }, name }) {
    const saved = await prompts.save({ name: name(), content: 'x' })
    const fine = { name: name(), content: 'y' }
    await invalid(prompts.save({ ...fine, name: '' }), 'prompt.name')
    await invalid(prompts.save({ ...fine, name: 'x'.repeat(1025) }), 'prompt.name')
    await invalid(prompts.save({ ...fine, content: undefined }), 'prompt.content')
    await invalid(prompts.save({ ...fine, content: [new Map()] }), 'prompt.content.0')
    await invalid(prompts.save({ ...fine, metadata: [] as unknown as Record<string, unknown> }), 'prompt.metadata')
    await invalid(prompts.save({ ...fine, description: 'a\0' }), 'prompt.description')
    await invalid(prompts.get(''), 'name')
    await invalid(prompts.list({ limit: 0 }), 'options.limit')
    await badCursors((cursor) => prompts.list({ cursor }))
    assert.deepEqual(await prompts.get(name()), saved)
  },
}
