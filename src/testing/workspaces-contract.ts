import assert from 'node:assert/strict'
import type { Workspace } from '../repositories/workspaces.ts'
import type { Storage } from '../storage/types.ts'
import { allPages, badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

/** The cases of `storage.workspaces`. */
export const workspaceCases: Cases = {
  async 'save() replaces the workspace with that path, or with that id'({ storage: { workspaces }, name, clock }) {
    const saved = await workspaces.save({ path: name(), name: 'n', metadata: { '2': 1, '1': 2 } })
    const [createdAt, updatedAt] = [clock.now(), clock.now()]
    const expected = { id: saved.id, path: name(), name: 'n', metadata: { '2': 1, '1': 2 }, isCurrent: false }
    assert.deepEqual(saved, { ...expected, createdAt, updatedAt })
    assert.deepEqual(await workspaces.get(saved.id), saved)
    clock.advance(5)
    const again = await workspaces.save({ path: name() })
    assert.deepEqual(again, { ...saved, name: null, metadata: {}, updatedAt: clock.now() })
    const moved = await workspaces.save({ id: saved.id, path: name('moved') })
    assert.deepEqual(moved, { ...again, path: name('moved') })
    assert.deepEqual(await workspaces.findByPath(name('moved')), moved)
    assert.equal(await workspaces.findByPath(name()), undefined)
    const own = await workspaces.save({ id: name('own'), path: name() })
    assert.deepEqual([own.id, own.path, own.createdAt], [name('own'), name(), clock.now()])
    assert.deepEqual(await workspaces.save({ id: name('own'), path: name() }), own)
  },

  async 'get() returns undefined if there is no such workspace'({ storage: { workspaces }, name }) {
    assert.equal(await workspaces.get(name('absent')), undefined)
  },

  async 'findByPath() compares paths byte for byte'({ storage: { workspaces }, name }) {
    const paths = ['/a', '/A', '/a/', '/a/../a', '/ä', '/%'].map((path) => name(path))
    const saved = await Promise.all(paths.map((path) => workspaces.save({ path })))
    assert.equal(new Set(saved.map(({ id }) => id)).size, paths.length)
    for (const [i, path] of paths.entries()) assert.deepEqual(await workspaces.findByPath(path), saved[i])
  },

  async 'save() rejects if a workspace with another id has the path'({ storage, name }) {
    const { workspaces } = storage
    const first = await workspaces.save({ path: name('/a') })
    const second = await workspaces.save({ path: name('/b') })
    await refused(workspaces.save({ id: second.id, path: first.path }), 'ALREADY_EXISTS')
    await storage.transaction(async (tx) => {
      await refused(tx.workspaces.save({ id: name('new'), path: first.path }), 'ALREADY_EXISTS')
      await tx.kv.set(name(), 'after')
    })
    assert.equal(await storage.kv.get(name()), 'after')
    assert.deepEqual(await workspaces.get(second.id), second)
    assert.equal(await workspaces.get(name('new')), undefined)
  },

  async 'save() creates one workspace when 20 calls have the same path'({ storage: { workspaces }, name }) {
    const all = await Promise.all(times(20, () => workspaces.save({ path: name() })))
    assert.equal(new Set(all.map(({ id }) => id)).size, 1)
  },

  async 'list() returns the most recently created workspace first'({ storage: { workspaces }, name, clock }) {
    const saved: Workspace[] = []
    clock.advance(1e6) // newer than the workspaces of other cases
    for (let i = 0; i < 9; i++) {
      if (i % 4 === 0) clock.advance(1)
      saved.unshift(await workspaces.save({ path: name(`${i}`) }))
    }
    assert.deepEqual((await workspaces.list({ limit: 9 })).items, saved)
    const listed = await allPages((page) => workspaces.list(page), 4)
    assert.deepEqual(listed.slice(0, 9), saved)
  },

  async 'setCurrent() makes every other workspace not current'({ storage, name }) {
    const { workspaces } = storage
    const [first, second] = await Promise.all(['1', '2'].map((path) => workspaces.save({ path: name(path) })))
    assert.ok(first && second)
    await workspaces.clearCurrent()
    assert.equal(await workspaces.getCurrent(), undefined)
    assert.deepEqual(await workspaces.setCurrent(first.id), { ...first, isCurrent: true })
    assert.deepEqual(await workspaces.setCurrent(first.id), { ...first, isCurrent: true })
    assert.deepEqual(await workspaces.setCurrent(second.id), { ...second, isCurrent: true })
    assert.deepEqual(await workspaces.getCurrent(), { ...second, isCurrent: true })
    assert.deepEqual(await currentIds(storage), [second.id])
    await refused(workspaces.setCurrent(name('absent')), 'NOT_FOUND')
    assert.equal((await workspaces.save({ path: second.path, name: 'renamed' })).isCurrent, true)
    assert.deepEqual(await currentIds(storage), [second.id])
    assert.equal(await workspaces.clearCurrent(), true)
    assert.equal(await workspaces.clearCurrent(), false)
    assert.equal(await workspaces.getCurrent(), undefined)
  },

  async 'setCurrent() leaves one current workspace when 20 calls run at once'({ storage, name }) {
    const { workspaces } = storage
    const saved = await Promise.all(times(10, (i) => workspaces.save({ path: name(`${i}`) })))
    await workspaces.clearCurrent()
    const set = await Promise.all([...saved, ...saved].map(({ id }) => workspaces.setCurrent(id)))
    assert.ok(set.every(({ isCurrent }) => isCurrent))
    assert.deepEqual(await currentIds(storage), [(await workspaces.getCurrent())?.id])
    await Promise.all([
      ...saved.map(({ id }) => workspaces.setCurrent(id)),
      ...times(5, () => workspaces.clearCurrent()),
      ...saved.map(({ path }) => workspaces.save({ path })),
    ])
    assert.ok((await currentIds(storage)).length <= 1)
  },

  ...eachInput<[input: { path?: string; id?: string; metadata?: object }, path: string]>(
    [
      [{ path: '' }, 'path'],
      [{ path: 'x'.repeat(1025) }, 'path'],
      [{ id: '' }, 'id'],
      [{ metadata: { n: 1n } }, 'metadata.n'],
    ],
    ([input]) => `save() rejects ${shown(input)} and changes nothing`,
    async ([input, path], { storage: { workspaces }, name }) => {
      const saved = await workspaces.save({ path: name() })
      await invalid(workspaces.save({ path: name(), ...input }), `workspace.${path}`)
      assert.deepEqual(await workspaces.findByPath(name()), saved)
    },
  ),

  async 'setCurrent() and findByPath() reject arguments that are not valid'({ storage: { workspaces } }) {
    await invalid(workspaces.setCurrent(''), 'id')
    await invalid(workspaces.findByPath('\0'), 'path')
  },

  async 'list() rejects cursors that it did not return'({ storage: { workspaces } }) {
    await badCursors((cursor) => workspaces.list({ cursor }))
  },
}

/** Returns the ids of the workspaces that are current. */
async function currentIds({ workspaces }: Storage): Promise<string[]> {
  const all = await allPages((page) => workspaces.list(page), 100)
  return all.filter(({ isCurrent }) => isCurrent).map(({ id }) => id)
}
