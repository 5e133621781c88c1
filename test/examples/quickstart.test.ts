import { execFileSync, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { appendFile, copyFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { progressLine } from '../../examples/quickstart/progress.ts'
import { openStorageFromFile } from '../../src/index.ts'
import { bundleProgram } from '../setup/bundle-program.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { adopt } from '../setup/temporary.ts'

const example = join(import.meta.dirname, '../../examples/quickstart')
const sample = join(example, 'conversations.jsonl')

let directory: string
let config: string

beforeEach(async () => {
  directory = freshDirectory()
  config = join(directory, 'agent.yml')
  await copyFile(join(example, 'agent.yml'), config)
})

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the quickstart on the database of this test. Calls `onError` with its standard error so far, whenever more comes. */
function quickstart(
  args: string[],
  onError?: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Outcome> {
  const child = spawn(process.execPath, [bundleProgram(join(example, 'quickstart.ts')), '--config', config, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  adopt(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output.stderr += text
    onError?.(output.stderr, (signal) => child.kill(signal))
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...output }))
  })
}

const mentioning = (type: string) => ({ type, [type]: expect.stringMatching(/^blob:[0-9a-f]{32}$/) })

/** Configures the test for PostgreSQL and Redis. Returns the path in the URL of the database. */
async function onPostgres(): Promise<string> {
  const url = await freshPostgres()
  const cache = `{ type: redis, url: '${redisUrl()}', options: { keyPrefix: '${redisPrefix()}' } }`
  await writeFile(config, `storage: { cache: ${cache}, database: { type: postgres, url: '${url}' } }`)
  return new URL(url).pathname
}

/** Returns all sessions and messages of the database. */
async function stored() {
  await using storage = await openStorageFromFile(config)
  const chats = []
  let cursor: string | undefined
  do {
    const page = await storage.sessions.list({ limit: 100, cursor })
    for (const session of page.items) {
      const messages = []
      for await (const message of storage.messages.iterate(session.id)) messages.push(message)
      chats.push({ session, messages })
    }
    cursor = page.nextCursor
  } while (cursor)
  return chats
}

/** Returns the stored chats in the format of the import file. */
async function exported(): Promise<unknown[]> {
  return (await stored()).map(({ session, messages }) => ({
    ...session.metadata,
    messages: messages.map(({ role, content, metadata }) => ({ role, content, ...metadata })),
  }))
}

async function chatsIn(file: string): Promise<{ messages: unknown[] }[]> {
  const text = await readFile(file, 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

test.each<[string, () => Promise<string>]>([
  ['SQLite', async () => join(directory, 'data', 'quickstart.db')],
  ['PostgreSQL', onPostgres],
])(
  'the quickstart on %s imports the sample, continues the first chat, and finds both again',
  async (database, prepare) => {
    const place = await prepare()
    const expected = await chatsIn(sample)
    const messages = expected.reduce((sum, chat) => sum + chat.messages.length, 0)
    expect(expected.length).toBeGreaterThanOrEqual(36)

    const first = await quickstart([])
    const warning = database === 'SQLite' ? /^$/ : /^holdfast: Blobs are in memory.*\n$/
    expect(first).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) })
    expect(first.stdout).toContain(`${expected.length} imported (${messages} messages), 0 already there, 0 refused`)
    expect(first.stdout).toContain('\nContinued chat-')
    expect(first.stdout).toMatch(new RegExp(`\\nThe data is in .*${place}\\n$`))

    expected[0]?.messages.push(
      { role: 'user', content: expect.any(String) },
      { role: 'assistant', content: expect.any(String) },
      { role: 'user', content: [{ type: 'text', text: expect.any(String) }, mentioning('image'), mentioning('file')] },
    )
    const chats = await exported()
    expect(chats).toHaveLength(expected.length)
    for (const chat of expected) expect(chats).toContainEqual(chat)

    const files = '\nwith\n  dot.png, image/png: 70 bytes\n  notes.txt, text/plain: "One red dot."\n'
    expect(first.stdout).toContain(files)

    const before = await stored()
    const second = await quickstart([])
    expect(second).toMatchObject({ code: 0, stderr: '' })
    expect(second.stdout).toContain(`0 imported (0 messages), ${expected.length} already there, 0 refused`)
    expect(second.stdout).toContain('\nAlready continued chat-')
    if (database === 'SQLite') expect(second.stdout).toContain(files)
    else expect(second.stdout).toContain('is gone: this blob store is in memory')
    expect(await stored()).toEqual(before)
  },
)

test('the quickstart imports everything once when two processes run at once', async () => {
  const total = (await chatsIn(sample)).length
  const runs = await Promise.all([quickstart([]), quickstart([])])
  expect(runs).toMatchObject([{ code: 0 }, { code: 0 }])
  const imported = runs.map(({ stdout }) => Number(/(\d+) imported/.exec(stdout)?.[1]))
  expect(imported.reduce((sum, count) => sum + count)).toBe(total)
  expect(await stored()).toHaveLength(total)
})

test('the quickstart recognises a chat whose JSON is written differently, and skips blank lines', async () => {
  const file = join(directory, 'chats.jsonl')
  await writeFile(
    file,
    '\ufeff\r\n{ "x": 1, "messages": [ {"content": "Gr\\u00fc\\u00dfe", "role": "user"} ] }\r\n\r\n  \n',
  )
  expect((await quickstart([file])).stdout).toContain('1 imported (1 messages), 0 already there, 0 refused')
  await writeFile(
    file,
    '{"messages":[{"role":"user","content":"Grüße"}],"x":1}\n{"messages":[{"role":"user","content":"Grüße"}]}',
  )
  expect((await quickstart([file])).stdout).toContain('1 imported (1 messages), 1 already there, 0 refused')
})

test('the quickstart imports a chat of 2345 messages as one session', async () => {
  const file = join(directory, 'chats.jsonl')
  const messages = Array.from({ length: 2345 }, (_, n) => ({ role: n % 2 ? 'assistant' : 'user', content: `${n}` }))
  await writeFile(file, JSON.stringify({ messages }))
  expect((await quickstart([file])).stdout).toContain('1 imported (2345 messages), 0 already there, 0 refused')
  expect((await quickstart([file])).stdout).toContain('0 imported (0 messages), 1 already there, 0 refused')
  expect(await exported()).toEqual([{ messages: [...messages, ...Array(3).fill(expect.anything())] }])
})

test('the quickstart reports each malformed line with its number and reason, and imports the others', async () => {
  const good = (name: string) => JSON.stringify({ messages: [{ role: 'user', content: name }] })
  const bad: [line: string, reason: RegExp][] = [
    ['{"messages": [', /invalid JSON/],
    ['\u001b[31m', /invalid JSON/],
    ['[]', /expected object, received array/],
    ['null', /expected object/],
    ['{"conversation":[]}', /messages: .*expected array/],
    ['{"messages":{}}', /messages: .*expected array/],
    ['{"messages":[]}', /messages: expected at least one message/],
    ['{"messages":["hi"]}', /messages\[0\]: .*expected object/],
    ['{"messages":[{"content":"hi"}]}', /messages\[0\]\.role: .*"system"\|"developer"/],
    ['{"messages":[{"role":"user","content":"a"},{"role":"robot","content":"b"}]}', /messages\[1\]\.role: /],
    ['{"messages":[{"role":"user","content":7}]}', /messages\[0\]\.content: expected a string, an array of parts/],
    ['{"messages":[{"role":"user","content":{"type":"text"}}]}', /messages\[0\]\.content: expected a string/],
    ['{"messages":[{"role":"user","content":["hi"]}]}', /messages\[0\]\.content: expected a string/],
    ['{"messages":[{"role":"user","content":[{"text":"hi"}]}]}', /messages\[0\]\.content: expected a string/],
    ['{"messages":[{"role":"user","content":null}]}', /messages\[0\]\.content: missing/],
    ['{"messages":[{"role":"assistant"}]}', /messages\[0\]\.content: missing/],
    ['{"messages":[{"role":"user","content":"a","weight":1e999}]}', /metadata\.weight: must be a finite number/],
    [`{"messages":[{"role":"user","content":"a"}],"x":${'['.repeat(600)}${']'.repeat(600)}}`, /nested/],
    [`{"messages":[{"role":"user","content":"a"}],"x":${'['.repeat(1e5)}${']'.repeat(1e5)}}`, /invalid JSON/],
  ]
  const file = join(directory, 'chats.jsonl')
  await writeFile(file, bad.map(([line], index) => `${line}\n${good(`chat ${index}`)}\n`).join(''))
  await appendFile(file, Buffer.from([0x22, 0xff, 0x22, 0x0a]))

  const { code, stdout, stderr } = await quickstart([file])
  expect(code).toBe(1)
  const reports = stderr.trimEnd().split('\n')
  expect(reports).toHaveLength(bad.length + 1)
  for (const [index, [, reason]] of bad.entries()) {
    expect(reports[index]).toMatch(new RegExp(`^line ${2 * index + 1}: .*(?:${reason.source})`))
  }
  expect(reports.at(-1)).toBe(`line ${2 * bad.length + 1}: not valid UTF-8`)
  expect(stderr).not.toContain('\u001b')
  expect(stdout).toContain(
    `${bad.length} imported (${bad.length} messages), 0 already there, ${bad.length + 1} refused`,
  )
  expect(await stored()).toHaveLength(bad.length)
})

test('the quickstart rejects a line of more than 64 MiB and imports the next line', async () => {
  const file = join(directory, 'chats.jsonl')
  await writeFile(file, '')
  await truncate(file, 65 * 1024 * 1024)
  await appendFile(file, '\n{"messages":[{"role":"user","content":"after"}]}')
  const { code, stdout, stderr } = await quickstart([file])
  expect(code).toBe(1)
  expect(stderr).toContain('line 1: longer than 64 MiB')
  expect(stdout).toContain('1 imported (1 messages), 0 already there, 1 refused')
})

test('the quickstart prints one line and creates nothing when it cannot read its file or arguments', async () => {
  const missing = join(directory, 'missing.jsonl')
  expect(await quickstart([missing])).toEqual({
    code: 2,
    stdout: '',
    stderr: `Cannot read ${missing}: no such file\n`,
  })
  expect(await quickstart([directory])).toMatchObject({
    code: 2,
    stderr: `Cannot read ${directory}: it is a directory\n`,
  })
  expect(await quickstart(['--fast'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^Unknown option '--fast'/),
  })
  expect(await readdir(directory)).toEqual(['agent.yml'])
})

test('the quickstart stops between two chats on a signal, and the next run completes the import', async () => {
  const total = 3000
  const line = (chat: number) =>
    JSON.stringify({
      messages: ['user', 'assistant', 'user'].map((role, n) => ({ role, content: `chat ${chat}.${n}` })),
    })
  const lines = Array.from({ length: total }, (_, chat) => `${line(chat)}\n`)

  // A pipe: the test decides how much the quickstart has read when the signal comes.
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  const interrupted = async (before: number, ...signals: NodeJS.Signals[]) => {
    const writer = createWriteStream(pipe)
    writer.on('error', () => {}) // the quickstart stops reading
    writer.write(`${lines.slice(0, before).join('')}not a chat\n`)
    let sent = false
    const outcome = await quickstart([pipe], (stderr, kill) => {
      if (sent || !stderr.includes(`line ${before + 1}: `)) return
      sent = true
      for (const signal of signals) kill(signal)
      writer.end(lines.slice(before).join(''))
    })
    const chats = await stored()
    expect(chats.length).toBeGreaterThanOrEqual(before)
    expect(chats.length).toBeLessThan(total)
    expect(chats.every(({ messages }) => messages.length === 3)).toBe(true)
    return { ...outcome, stored: chats.length }
  }

  const first = await interrupted(20, 'SIGINT', 'SIGINT')
  expect(first.code).toBe(130)
  expect(first.stdout).toMatch(/^Stopped by SIGINT after line \d+/)
  expect(first.stdout).toContain(`${first.stored} imported (${3 * first.stored} messages), 0 already there, 1 refused`)

  const second = await interrupted(first.stored + 20, 'SIGTERM')
  expect(second.code).toBe(143)
  expect(second.stdout).toMatch(/^Stopped by SIGTERM after line \d+/)
  expect(second.stdout).toContain(`${first.stored} already there, 1 refused`)

  const file = join(directory, 'chats.jsonl')
  await writeFile(file, lines.join(''))
  const third = await quickstart([file])
  const left = total - second.stored
  expect(third.code).toBe(0)
  expect(third.stdout).toContain(`${left} imported (${3 * left} messages), ${second.stored} already there, 0 refused`)
  expect(third.stdout).toContain(`\nand ${total - 50} more\n`)
  const contents = (await stored()).map(({ messages }) => messages.slice(0, 3).map(({ content }) => content))
  expect(new Set(contents.map(String)).size).toBe(total)
  expect(contents).toContainEqual([`chat ${total - 1}.0`, `chat ${total - 1}.1`, `chat ${total - 1}.2`])
}, 60_000)

test('progressLine() rewrites one line on a terminal, and writes rarely to a log', () => {
  let time = 1000
  const written: string[] = []
  const write = (text: string) => written.push(text)

  const terminal = progressLine({ isTTY: true, columns: 11, write }, () => time)
  terminal.update(() => 'line 1 of many lines')
  terminal.update(() => 'too soon')
  time += 100
  terminal.update(() => 'line 2')
  terminal.clear()
  terminal.clear()
  expect(written.splice(0)).toEqual(['\r\x1b[Kline 1 of ', '\r\x1b[Kline 2', '\r\x1b[K'])

  const log = progressLine({ write }, () => time)
  log.update(() => 'line 3')
  time += 5000
  log.update(() => 'line 4')
  log.clear()
  expect(written).toEqual(['line 4\n'])
})
