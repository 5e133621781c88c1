import assert from 'node:assert/strict'
import type { ListMemoriesOptions, Memory, MemoryPatch } from '../repositories/memories/types.ts'
import { allPages, badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

/** `storage.memories`. */
export const memoryCases: Cases = {
  async 'get() returns what create() was given'({ storage: { memories }, clock }) {
    const metadata = { z: [1, { b: null }], pinned: true, a: '10', source: 'user' as const }
    const tags = ['b', 'Ä, "x"', 'a']
    const created = await memories.create({
      content: ' Likes\n☕ ',
      tags,
      metadata: { ...metadata, dropped: undefined },
    })
    const [createdAt, updatedAt] = [clock.now(), clock.now()]
    const { id } = created
    assert.deepEqual(created, { id, ownerId: '', content: ' Likes\n☕ ', tags, metadata, createdAt, updatedAt })
    assert.deepEqual(Object.keys(created.metadata), ['z', 'pinned', 'a', 'source'])
    assert.deepEqual(await memories.get(created.id), created)
    const plain = await memories.create({ content: 'x' })
    assert.deepEqual([plain.tags, plain.metadata], [[], {}])
    assert.notEqual(plain.id, created.id)
    assert.deepEqual((await memories.create({ content: 'x', tags: ['b', 'a', 'b'] })).tags, ['b', 'a'])
    assert.equal(await memories.get('absent'), undefined)
  },

  async 'create() keeps the longest content and 10 different tags'({ storage: { memories }, name }) {
    const tags = [name().slice(0, 50), ...times(8, (i) => `t${i}`), 'y'.repeat(50)]
    const longest = await memories.create({ content: 'x'.repeat(10_000), tags: [...tags, ...tags] })
    assert.deepEqual(longest.tags, tags)
    assert.deepEqual(await memories.get(longest.id), longest)
    const sameTag = times(11, () => name().slice(0, 50))
    assert.deepEqual((await memories.list({ tags: sameTag })).items, [longest])
  },

  ...eachInput<[patch: object, path: string]>(
    [
      [{ content: '' }, 'content'],
      [{ content: 'x'.repeat(10_001) }, 'content'],
      [{ content: 'a\0' }, 'content'],
      [{ content: '\ud800' }, 'content'],
      [{ tags: times(11, (i) => `t${i}`) }, 'tags'],
      [{ tags: ['a', ''] }, 'tags.1'],
      [{ tags: ['y'.repeat(51)] }, 'tags.0'],
      [{ tags: ['a\u001fb'] }, 'tags.0'],
      [{ tags: 'a' }, 'tags'],
      [{ metadata: { source: 'agent' } }, 'metadata.source'],
      [{ metadata: { pinned: 'yes' } }, 'metadata.pinned'],
      [{ metadata: { when: new Date(0) } }, 'metadata.when'],
      [{ metadata: [] }, 'metadata'],
    ],
    ([patch]) => `create() and update() reject ${shown(patch)}`,
    async ([patch, path], { storage: { memories }, name }) => {
      const tag = name().slice(-50)
      const before = await memories.create({ content: 'before', tags: [tag] })
      await invalid(memories.create({ content: 'x', tags: [tag], ...patch }), `memory.${path}`)
      await invalid(memories.update(before.id, patch), `patch.${path}`)
      assert.deepEqual((await memories.list({ tags: [tag] })).items, [before])
    },
  ),

  async 'create() rejects a memory without content'({ storage: { memories } }) {
    await invalid(memories.create({ tags: ['a'] } as unknown as { content: string }), 'memory.content')
  },

  async 'list() rejects bad options'({ storage: { memories } }) {
    await invalid(memories.list({ match: 'some' as 'any' }), 'options.match')
    await invalid(memories.list({ tags: [''] }), 'options.tags.0')
    await invalid(memories.list({ limit: 1001 }), 'options.limit')
    await invalid(memories.list({ ownerId: '' }), 'options.ownerId')
    for (const tags of [[], ['a'], ['a', 'b']]) await badCursors((cursor) => memories.list({ tags, cursor }))
  },

  async 'list() returns the memories that match, the newest first, page by page'({
    storage: { memories },
    name,
    clock,
  }) {
    const own = name().slice(-40)
    const kept: Memory[] = []
    clock.advance(1e6) // so that these memories are newer than those of other cases
    for (let i = 0; i < 40; i++) {
      if (i % 7 === 0) clock.advance(1)
      const tags = ['a', 'b', 'c'].filter((_, bit) => (i >> bit) & 1)
      const source = (['user', 'system', undefined] as const)[i % 3]
      const metadata = {
        ...(i % 4 === 0 && { pinned: true }),
        ...(i % 4 === 1 && { pinned: false }),
        ...(source && { source }),
      }
      kept.unshift(
        await memories.create({ content: `${i}`, tags: [own, ...tags.map((tag) => tag + own.slice(1))], metadata }),
      )
    }
    const tagged = (tags: string) => [...tags].map((tag) => (tag === 'o' ? own : tag + own.slice(1)))
    const fits =
      ({ tags = [], match, source, pinned }: ListMemoriesOptions) =>
      (memory: Memory) => {
        const has = (tag: string) => memory.tags.includes(tag)
        if (tags.length > 0 && !(match === 'all' ? tags.every(has) : tags.some(has))) return false
        if (source !== undefined && memory.metadata.source !== source) return false
        return pinned === undefined || (memory.metadata.pinned ?? false) === pinned
      }
    for (const tags of ['o', 'a', 'ab', 'abc', 'oa', 'cbao', 'ox', 'xy']) {
      for (const match of ['any', 'all'] as const) {
        for (const rest of [
          {},
          { source: 'user' as const },
          { pinned: false },
          { source: 'system' as const, pinned: true },
        ]) {
          const options = { tags: tagged(tags), match, ...rest }
          const listed = await allPages((page) => memories.list({ ...options, ...page }), 3)
          assert.deepEqual(listed, kept.filter(fits(options)), JSON.stringify({ tags, match, ...rest }))
        }
      }
    }
    const newest = await memories.list({ limit: 5 })
    assert.deepEqual(newest.items, kept.slice(0, 5))
    for (const options of [
      { source: 'system' as const },
      { pinned: true },
      { source: 'user' as const, pinned: false },
    ]) {
      const { items } = await memories.list({ ...options, limit: 3 })
      assert.deepEqual(items, kept.filter(fits(options)).slice(0, 3))
    }
    assert.deepEqual(await memories.list({ tags: [], limit: 5 }), newest)
    for (const tags of [[], [own]]) assert.deepEqual(await memories.list({ tags, ownerId: name() }), { items: [] })
  },

  async 'update() changes what is given and leaves the rest'({ storage: { memories }, name, clock }) {
    const [first, second] = [`1${name().slice(-40)}`, `2${name().slice(-40)}`]
    const metadata = { pinned: true, source: 'user' as const, custom: { a: 1 }, old: 1 }
    const created = await memories.create({ content: 'a', tags: [first, 'x'], metadata })
    clock.advance(5)
    const update = async (patch: MemoryPatch) => {
      const updated = await memories.update(created.id, patch)
      assert.deepEqual(await memories.get(created.id), updated)
      return updated
    }
    assert.deepEqual(await update({ content: 'b' }), { ...created, content: 'b', updatedAt: clock.now() })
    const merged = await update({ metadata: { custom: { b: 2 }, old: undefined, source: 'system' } })
    assert.deepEqual(merged.metadata, { pinned: true, source: 'system', custom: { b: 2 } })
    assert.deepEqual((await memories.list({ tags: [first], source: 'system', pinned: true })).items, [merged])
    assert.deepEqual((await memories.list({ tags: [first], source: 'user' })).items, [])
    const retagged = await update({ tags: [second, 'x'], metadata: { pinned: undefined } })
    assert.deepEqual(retagged, { ...merged, tags: [second, 'x'], metadata: { source: 'system', custom: { b: 2 } } })
    assert.deepEqual((await memories.list({ tags: [first] })).items, [])
    assert.deepEqual((await memories.list({ tags: [second], pinned: false })).items, [retagged])
    assert.deepEqual((await update({ tags: [] })).tags, [])
    assert.deepEqual((await update({})).content, 'b')
    await refused(memories.update(name('absent'), { content: 'x' }), 'NOT_FOUND')
  },

  async 'update() loses nothing when many run at once'({ storage: { memories } }) {
    const { id } = await memories.create({ content: 'a', tags: ['before'] })
    await Promise.all(
      times(20, (i) => memories.update(id, { tags: [`${i}`, `also ${i}`], metadata: { [`by ${i}`]: i, last: i } })),
    )
    const { tags, metadata } = (await memories.get(id)) ?? {}
    assert.deepEqual(tags, [`${metadata?.last}`, `also ${metadata?.last}`])
    for (let i = 0; i < 20; i++) assert.equal(metadata?.[`by ${i}`], i)
  },

  async 'delete() returns true if the memory existed'({ storage: { memories }, name }) {
    const tag = name().slice(-40)
    const { id } = await memories.create({ content: 'a', tags: [tag] })
    assert.equal(await memories.delete(id), true)
    assert.equal(await memories.delete(id), false)
    assert.equal(await memories.get(id), undefined)
    assert.deepEqual(await memories.list({ tags: [tag] }), { items: [] })
  },
}
