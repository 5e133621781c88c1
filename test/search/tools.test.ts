import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { describeDatabase, type MessageContent } from '../../src/index.ts'
import { quiet } from '../setup/silent.ts'
import { lasting, memory, type Switched } from './databases.ts'

/** A word that only the call of a tool, or its result, has; in the formats that the adapters convert from. */
const PARTS: Record<string, MessageContent> = {
  aisdkcall: [{ type: 'tool-call', toolCallId: 'c1', toolName: 'aisdkcall', input: { city: 'x' } }],
  aisdkresult: [{ type: 'tool-result', toolCallId: 'c1', output: { type: 'json', value: [{ a: 'aisdkresult' }] } }],
  uipart: [{ type: 'tool-weather', state: 'output-available', input: { city: 'uipart' }, output: 12 }],
  uierror: [{ type: 'dynamic-tool', toolName: 'weather', state: 'output-error', errorText: 'uierror' }],
  anthropic: [{ type: 'tool_use', id: 't1', name: 'weather', input: { list: ['x', 'anthropic'] } }],
  anthropicresult: [{ type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'anthropicresult' }] }],
  openai: [{ type: 'function_call', call_id: 'f1', name: 'weather', arguments: '{"city":"openai"}' }],
  openairesult: [{ type: 'function_call_output', call_id: 'f1', output: 'openairesult' }],
}

const withTools = (config: StorageConfig): StorageConfig => ({
  ...config,
  // A copy with another option is still a configuration of the same database.
  database: { ...config.database, options: { search: 'with-tools' } } as StorageConfig['database'],
})

const found = async ({ messages }: Storage, query: string) =>
  (await messages.search(query)).items.map(({ message }) => message.id)

async function append({ messages }: Storage): Promise<void> {
  for (const [id, content] of Object.entries(PARTS)) await messages.append('s', { id, role: 'assistant', content })
}

const databases: Record<string, () => Promise<Switched>> = { 'in memory': async () => memory(), ...lasting }
describe.each(Object.entries(databases))('%s', (_, configure) => {
  test('what goes to and comes from tools is found with tools, and not without', async () => {
    const { on } = await configure()
    await using storage = await openStorage(withTools(on), quiet)
    await append(storage)
    for (const word of Object.keys(PARTS)) expect(await found(storage, word), word).toEqual([word])
    const { items } = await storage.messages.search('anthropic')
    for (const { text, highlights } of items) {
      expect(highlights.map(([start, end]) => text.slice(start, end))).toEqual(['anthropic'])
    }
    expect((await storage.sessions.search('openai')).items).toMatchObject([{ session: { id: 's' } }])
    await storage.messages.update('s', 'openai', { content: [{ type: 'tool_use', input: 'changed' }] })
    expect([await found(storage, 'openai'), await found(storage, 'changed')]).toEqual([[], ['openai']])

    await using without = await openStorage((await configure()).on, quiet)
    await append(without)
    for (const word of Object.keys(PARTS)) expect(await found(without, word), word).toEqual([])
  })

  test('bytes in the result of a tool are not indexed', async () => {
    await using storage = await openStorage(withTools((await configure()).on), quiet)
    const data = Buffer.from('a picture'.repeat(200)).toString('base64')
    const content = [{ type: 'tool-result', output: [{ type: 'media', data }, 'a caption'] }]
    await storage.messages.append('s', { id: 'm', role: 'tool', content })
    expect(await found(storage, 'caption')).toEqual(['m'])
    expect((await storage.messages.search('caption')).items[0]?.text).toBe('media\na caption')
  })
})

describe.each(Object.entries(lasting))('%s', (_, configure) => {
  test('another choice of texts indexes them anew', { timeout: 60_000 }, async () => {
    const { on } = await configure()
    const both = async (config: StorageConfig) => {
      await using storage = await openStorage(config, quiet)
      await storage.maintain()
      expect((await storage.stats()).search).toEqual({ pending: 0 })
      return [await found(storage, 'uipart'), await found(storage, 'plain')]
    }
    await using storage = await openStorage(on, quiet)
    await append(storage)
    await storage.messages.append('s', { id: 'plain', role: 'user', content: 'plain' })
    await storage.close()
    expect(await both(withTools(on))).toEqual([['uipart'], ['plain']])
    expect(await describeDatabase(on)).toMatchObject({ search: 'with-tools' })
    expect(await both(on)).toEqual([[], ['plain']])
    expect(await describeDatabase(on)).toMatchObject({ search: true })
  })
})

test('a setting that is none is refused', async () => {
  const config = { database: { type: 'in-memory', options: { search: 'tools' } } }
  await expect(openStorage(config as StorageConfig)).rejects.toThrow(/database\.options\.search/) // what a file may have
})
