import { openStorage, type Storage } from 'holdfast'
import { expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { pageText } from './pages.ts'

type Call = (storage: Storage, text: string) => Promise<unknown>

const content = 'x'
const identity = { runId: 'r', turnId: 't', modelStepId: 'm', toolCallId: 'c' }
const data = new Uint8Array(1)

/** Calls with a text of each row of the page, by the beginning of the row. */
const calls: Record<string, Call[]> = {
  'an id': [
    ({ sessions }, id) => sessions.create({ id }),
    ({ messages }, id) => messages.append('chat', { id, role: 'user', content }),
    ({ queues }, queue) => queues.push('chat', queue, { id: 'i' }),
    ({ toolState }, tool) => toolState.set(tool, 'key', 1),
    ({ toolPreferences }, tool) => toolPreferences.allow(tool),
    ({ toolExecutions }, toolName) => toolExecutions.start({ executionId: toolName, identity, toolName }),
    ({ checkpoints }, channel) =>
      checkpoints.put({
        threadId: 't',
        type: 'json',
        data,
        versions: { [channel]: '1' },
        values: { [channel]: { type: 'json', data } },
      }),
  ],
  'a key': [
    ({ kv }, key) => kv.set(key, 1),
    ({ kv }, key) => kv.namespace('ab', 'cd').set(key.slice(0, -3), 1),
    ({ lists }, key) => lists.append(key, 1),
    ({ workspaces }, path) => workspaces.save({ path }),
    ({ prompts }, name) => prompts.save({ name, content }),
    ({ toolState }, key) => toolState.set('tool', key, 1),
  ],
  'the type': [({ events }, type) => events.append({ type }), ({ approvals }, type) => approvals.request({ type })],
  'the role': [
    ({ messages }, role) => messages.append('chat', { role, content }),
    async ({ approvals }, decision) => approvals.respond({ id: (await approvals.request({ type: 't' })).id, decision }),
  ],
  'the title': [
    ({ sessions }, title) => sessions.create({ title }),
    ({ workspaces }, name) => workspaces.save({ path: 'p', name }),
  ],
  'the description': [({ prompts }, description) => prompts.save({ name: 'p', content, description })],
  'the content': [({ memories }, text) => memories.create({ content: text })],
}

const rows = Array.from(
  pageText('docs/repositories.md').matchAll(/^\| (\w+ \w+)(.*) \| (\d) \| (\d+) (bytes|characters).*\|$/gm),
  ([, name = '', rest = '', least, most, unit]) => ({ name, rest, least: Number(least), most: Number(most), unit }),
)

it('every row has its calls', () => {
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(calls))
})

it.each(rows.map((row) => [`${row.name}${row.rest}`, row] as const))(
  '%s has the length of the page',
  async (_, row) => {
    const { name, least, most, unit } = row
    const isOfBytes = unit === 'bytes'
    for (const call of calls[name] ?? []) {
      await using storage = await openStorage({}, quiet)
      const longest = isOfBytes
        ? 'é'.repeat(most / 2).padEnd(most / 2 + (most % 2), 'x')
        : '😀'.repeat(most / 2).padEnd(most, 'x')
      await call(storage, longest)
      await expect(call(storage, `${longest}x`)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
      if (least > 0) await expect(call(storage, '')).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    }
  },
)
