import { readFileSync } from 'node:fs'
import { openStorage } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { highlightsOf } from '../../src/search/highlights.ts'
import { parseQuery } from '../../src/search/query.ts'
import { tokenize } from '../../src/search/tokenizer.ts'
import { quiet } from '../setup/silent.ts'
import { lasting, memory } from './databases.ts'

/** What somebody has written, and how somebody looks for it. */
const QUERIES: [text: string, query: string][] = [
  ['Die Rechnungsnummer steht auf der letzten Seite.', 'rechnungs*'],
  ['Wir wohnen in der Straße am Käsemarkt', 'STRASSE kasemarkt'],
  ["Let's meet at the café near the Place de l'Étoile", '"cafe near" etoile'],
  ['İstanbul’da hava ısındı', 'istanbul isindi'],
  ['call foo_bar() before v1.2.3 is released', 'foo_bar v1.2.3'],
  ['Write to ada.lovelace@example.com, please', 'ada.lovelace@example.com'],
  ['Write to grace@example.org', '@example.org'],
  ['明日は東京駅で会いましょう', '東京'],
  ['京都の寺を見に行きたい', '寺'],
  ['请问图书馆在哪里', '图书馆'],
  ['내일 회의는 세 시에 시작합니다', '회의'],
  ['ฉันอยากกินข้าวผัด', 'ข้าวผัด'],
  ['Позвони Алёне насчёт счёта', 'алене счета'],
  ['Ο Οδυσσέας γύρισε', 'οδυσσεας'],
  ['The invoice of March, not that of May', 'invoice march -april'],
  ['We fly to Bergen on Friday', 'oslo OR bergen'],
  ['मुझे हिन्दी में लिखो', 'हिन्दी'],
  ['Danke❤️', 'danke'],
  ['good ☀️ morning', '"good morning"'],
  ['葛\u{e0100}城市', '葛城'],
  ['Łódź is on the way to Kraków', 'lodz krakow'],
  ['ＴＯＫＹＯ ２０２５', 'tokyo 2025'],
  ['npm ERR! code ERESOLVE in package-lock.json', 'package-lock.json'],
]

describe.each(Object.entries({ 'in memory': async () => memory(), ...lasting }))('%s', (name, configure) => {
  test('people find what was written', async () => {
    await using storage = await openStorage((await configure()).on, quiet)
    for (const [i, [content]] of QUERIES.entries()) {
      await storage.messages.append('chat', { id: `m${i}`, role: 'user', content })
      await storage.memories.create({ content })
    }
    for (const [i, [content, query]] of QUERIES.entries()) {
      const { items } = await storage.messages.search(query)
      expect(
        items.map(({ message }) => message.id),
        `${query} on ${name}`,
      ).toEqual([`m${i}`])
      expect(items[0]?.highlights.length).toBeGreaterThan(0)
      expect((await storage.memories.search(query)).items).toMatchObject([{ text: content }])
    }
  })

  test('a hit comes with the messages beside it', async () => {
    await using storage = await openStorage((await configure()).on, quiet)
    const contents = ['one', 'two', 'three blue', 'four', 'five']
    await storage.messages.append(
      'chat',
      contents.map((content) => ({ role: 'user', content })),
    )
    const { items } = await storage.messages.search('blue', { context: { before: 5, after: 1 } })
    const { before, after } = items[0]?.context ?? { before: [], after: [] }
    expect([before, after].map((messages) => messages.map(({ content }) => content))).toEqual([
      ['one', 'two'],
      ['four'],
    ])
  })

  test('a hit comes with the messages of its own session, whoever has another one of its id', async () => {
    await using storage = await openStorage((await configure()).on, quiet)
    for (const ownerId of ['ada', 'bob']) {
      const contents = [`first of ${ownerId}`, `${ownerId} is green`, `last of ${ownerId}`]
      const { messages } = storage.scope({ ownerId })
      await messages.append(
        'chat',
        contents.map((content) => ({ role: 'user', content })),
      )
    }
    const besideHits = async () => {
      const { items } = await storage.messages.search('green', { context: { before: 1, after: 1 } })
      return items.map(({ context }) => [context?.before, context?.after].flat().map((each) => each?.content))
    }
    const expected = ['bob', 'ada'].map((ownerId) => [`first of ${ownerId}`, `last of ${ownerId}`])
    expect(await besideHits()).toEqual(expected)
    await storage.messages.append('chat', [{ role: 'user', content: 'nobody' }])
    expect(await besideHits()).toEqual(expected)
  })

  test('a text is found by what its first 16,000 words say, whatever it holds', { timeout: 60_000 }, async () => {
    await using storage = await openStorage((await configure()).on, quiet)
    const append = (id: string, content: string) => storage.messages.append('chat', { id, role: 'user', content })
    await append('same', `${'again '.repeat(300)}end`)
    await append('long', `${Array.from({ length: 16_000 }, (_, i) => `n${i}`).join(' ')} beyond`)
    await append('wide', Array.from({ length: 15_000 }, (_, i) => `${'長'.repeat(70)}${i}`).join(' '))
    await append('marks', `a${'\u0301'.repeat(10_000)} zalgo`)
    await append('blob', 'x'.repeat(1_000_000))
    const found = async (query: string) => (await storage.messages.search(query)).items.map(({ message }) => message.id)
    expect(await found('"again end"')).toEqual([]) // the place of the last 'again' has a filler
    expect(await found('again end')).toEqual(['same'])
    expect(await found('n15999')).toEqual(['long'])
    expect(await found('beyond')).toEqual([])
    expect(await found('長長')).toEqual(['wide'])
    expect(await found('zalgo')).toEqual(['marks'])
    expect(await found('x'.repeat(900))).toEqual(['blob'])
  })
})

test('highlights are places in the text as it was written', () => {
  const text = 'Der ＫＡ\u0308SE am Ma\u0308rz, ½ 東京都 ﬁn.'
  const shown = (query: string) => highlightsOf(text, parseQuery(query)).map(([start, end]) => text.slice(start, end))
  expect(shown('kase OR marz')).toEqual(['ＫＡ\u0308SE', 'Ma\u0308rz'])
  expect(shown('京都 fi*')).toEqual(['京都', 'ﬁn'])
  expect(shown('"der kase"')).toEqual(['Der ＫＡ\u0308SE'])
  expect(tokenize(text).map(({ text }) => text)).toEqual([
    'der',
    'kase',
    'am',
    'marz',
    '1',
    '2',
    '東京',
    '京都',
    '都',
    'fin',
  ])
})

test.each(['❤️', '❤️ 🎉', '#️⃣', '\ufe0f', '\u0301', '" \u0301', '👩‍❤️‍👩'])('%j has no words', (text) => {
  expect(tokenize(text)).toEqual([])
})

test('no token of what was erased stays in the file of SQLite', async () => {
  const { on, file = '' } = (await lasting.SQLite?.()) ?? memory()
  const storage = await openStorage(on, quiet)
  const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
  const holds = (word: string) => ['', '-wal'].some((suffix) => readFileSync(file + suffix).includes(word))
  for (let i = 0; i < 300; i++) {
    // Enough for merges, whose old pages become free with what they held.
    await ada.messages.append('chat', {
      id: `m${i}`,
      role: 'user',
      content: `xqzsecret${i} zkwprivate ${'word '.repeat(40)}`,
    })
    await bob.messages.append('chat', { id: `m${i}`, role: 'user', content: `vjphere${i} ${'word '.repeat(40)}` })
    if (i % 3 === 0) await ada.messages.update('chat', `m${i}`, { content: `yzqchanged${i}` })
  }
  await ada.memories.create({ content: 'qxvremembered' })
  await ada.sessions.delete('chat')
  expect(holds('private')).toBe(true) // an ordinary removal leaves tokens in the file
  await storage.erase({ ownerId: 'ada' })
  for (const word of ['xqzsecret', 'secret', 'zkwprivate', 'private', 'yzqchanged', 'changed', 'qxvremembered']) {
    expect(holds(word), word).toBe(false)
  }
  expect((await bob.messages.search('vjphere7')).items).toHaveLength(1)
  expect((await storage.messages.search('word', { limit: 1000 })).items).toHaveLength(300)
  await storage.close()
})
