import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

interface Result {
  started: string[]
  decided: { id: string; status: string; decision: string }[]
  taken: string[][]
}

const names = ['a', 'b', 'c', 'd']
const count = rounds(15, 200)
const numbers = Array.from({ length: count }, (_, i) => i)
const timeout = rounds(60_000, 600_000)

test.each(sharedDatabases)(
  'on %s, start(), respond() and takeAll() give each item to one of four processes',
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const { id } = await storage.memories.create({ content: 'shared' })
    for (const i of numbers) await storage.approvals.request({ id: `approval ${i}`, type: 'tool' })

    const program = 'test/repositories/programs/contend.ts'
    const scripts = names.map((name) => runScript<Result>(program, [JSON.stringify(config), name, `${count}`]))
    await Promise.all(scripts.map((script) => script.next()))
    for (const script of scripts) script.send('go')
    const results = await Promise.all(scripts.map((script) => script.next(undefined, timeout)))

    const started = results.flatMap(({ started }) => started)
    expect(new Set(started).size).toBe(count)
    expect(started).toHaveLength(count)

    const decided = results.flatMap(({ decided }) => decided)
    expect(decided.filter(({ status }) => status === 'created')).toHaveLength(count)
    for (const { id, decision } of decided) {
      expect((await storage.approvals.get(id))?.response?.decision).toBe(decision)
    }

    const left = (await storage.queues.takeAll('session', 'steer')).map(({ id }) => id)
    const delivered = [...results.flatMap(({ taken }) => taken), left]
    const pushed = names.flatMap((name) => numbers.map((i) => `${name} ${i}`))
    expect(delivered.flat().toSorted()).toEqual(pushed.toSorted())
    for (const items of delivered) {
      for (const name of names) {
        const pushedByOne = items.filter((id) => id.startsWith(name)).map((id) => Number(id.slice(2)))
        expect(pushedByOne).toEqual(pushedByOne.toSorted((a, b) => a - b))
      }
    }

    const { items: allowed } = await storage.toolPreferences.listAllowed({ sessionId: 'session', limit: 1000 })
    expect(allowed).toEqual(pushed.toSorted())
    expect(Object.keys((await storage.memories.get(id))?.metadata ?? {}).toSorted()).toEqual(pushed.toSorted())
    const { items: workspaces } = await storage.workspaces.list()
    expect(workspaces).toHaveLength(names.length)
    expect(workspaces.filter(({ isCurrent }) => isCurrent)).toHaveLength(1)
  },
  timeout,
)
