import assert from 'node:assert/strict'
import type { PromptInput } from '../repositories/prompts.ts'
import {
  AWKWARD_PREFIXES,
  allPages,
  badCursors,
  byBytes,
  type Cases,
  eachInput,
  invalid,
  shown,
  times,
} from './contract.ts'

/** The cases of `storage.prompts`. */
export const promptCases: Cases = {
  async 'save() replaces all fields of the prompt of that name'({ storage: { prompts }, name, clock }) {
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
  },

  async 'save() counts every version when 20 calls run at once'({ storage: { prompts }, name }) {
    await Promise.all(times(20, (i) => prompts.save({ name: name(), content: i })))
    assert.equal((await prompts.get(name()))?.version, 20)
  },

  async 'get() returns undefined if there is no such prompt'({ storage: { prompts }, name }) {
    assert.equal(await prompts.get(name('absent')), undefined)
  },

  async 'delete() returns true if the prompt existed'({ storage: { prompts }, name }) {
    await prompts.save({ name: name(), content: 'x' })
    await prompts.get(name())
    assert.equal(await prompts.delete(name()), true)
    assert.equal(await prompts.get(name()), undefined)
    assert.equal(await prompts.delete(name()), false)
    assert.equal((await prompts.save({ name: name(), content: 'x' })).version, 1)
  },

  async 'list() matches a prefix byte for byte, in byte order'({ storage: { prompts }, name }) {
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

  ...eachInput<[input: object, path: string]>(
    [
      [{ name: '' }, 'name'],
      [{ name: 'x'.repeat(1025) }, 'name'],
      [{ content: undefined }, 'content'],
      [{ content: [new Map()] }, 'content.0'],
      [{ metadata: [] }, 'metadata'],
      [{ description: 'a\0' }, 'description'],
    ],
    ([input]) => `save() rejects ${shown(input)} and changes nothing`,
    async ([input, path], { storage: { prompts }, name }) => {
      const saved = await prompts.save({ name: name(), content: 'x' })
      const changed: PromptInput = { name: name(), content: 'y', ...input }
      await invalid(prompts.save(changed), `prompt.${path}`)
      assert.deepEqual(await prompts.get(name()), saved)
    },
  ),

  async 'get() and list() reject arguments that are not valid'({ storage: { prompts } }) {
    await invalid(prompts.get(''), 'name')
    await invalid(prompts.list({ limit: 0 }), 'options.limit')
  },

  async 'list() rejects cursors that it did not return'({ storage: { prompts } }) {
    await badCursors((cursor) => prompts.list({ cursor }))
  },
}
