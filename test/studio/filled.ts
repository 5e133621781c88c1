import { deflateSync } from 'node:zlib'
import type { Storage } from 'holdfast'

/** Returns a PNG of one colour that fades. */
export function png(width: number, height: number, [red, green, blue]: readonly [number, number, number]): Buffer {
  const rows = Buffer.alloc(height * (1 + width * 3))
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * (1 + width * 3) + 1 + x * 3
      const light = 0.55 + (0.45 * (x + y)) / (width + height)
      rows.set([red * light, green * light, blue * light], at)
    }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    ...[['IHDR', header] as const, ['IDAT', deflateSync(rows)] as const, ['IEND', Buffer.alloc(0)] as const].map(
      ([type, data]) => chunk(type, data),
    ),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  body.copy(framed, 4)
  framed.writeUInt32BE(crc(body), body.length + 4)
  return framed
}

function crc(bytes: Buffer): number {
  let rest = 0xffffffff
  for (const byte of bytes) {
    rest ^= byte
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0)
  }
  return (rest ^ 0xffffffff) >>> 0
}

const TITLES = [
  'Trip to Oslo',
  'Refund for order 4711',
  'Weekly report',
  'מסע לירושלים',
  'Rename the invoices 📎',
  'Summary of the board meeting',
  'Translate the contract',
]

/** Fills a storage as an agent does that books journeys: sessions, tools, approvals, queues, forks, blobs, memories, events. */
export async function fill(storage: Storage): Promise<void> {
  const ada = storage.scope({ ownerId: 'ada' })
  for (const [i, title] of TITLES.entries()) {
    await ada.sessions.create({ id: `session-${i}`, title, metadata: { model: 'large', step: i } })
    await ada.messages.append(
      `session-${i}`,
      Array.from({ length: 6 + 3 * i }, (_, n) => ({
        role: n % 2 === 0 ? 'user' : 'assistant',
        content: n % 2 === 0 ? `Question ${n / 2 + 1} about ${title}.` : 'Here is what I found, in short sentences.',
      })),
    )
  }
  const map = await ada.blobs.put(png(320, 180, [70, 150, 130]), { name: 'map.png', source: 'maps' })
  await ada.blobs.put(Buffer.from('%PDF-1.7 ...'), { name: 'ticket.pdf', mimeType: 'application/pdf', source: 'mail' })
  await ada.blobs.put(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), {
    name: 'logo.svg',
    mimeType: 'image/svg+xml',
  })
  await ada.blobs.put(Buffer.from('<h1>Hello</h1>'), { name: 'page.html', mimeType: 'text/html' })
  await conversation(storage, map.uri)
  await ada.sessions.fork('oslo', { id: 'oslo-by-bus', title: 'Trip to Oslo, by bus', throughSeq: 3 })
  await ada.sessions.fork('oslo', { id: 'oslo-in-may', title: 'Trip to Oslo, in May' })
  await ada.sessions.fork('oslo-by-bus', { id: 'oslo-by-night', title: 'Trip to Oslo, by night bus' })
  await ada.memories.create({
    content: 'Prefers trains to planes.',
    tags: ['travel', 'ada'],
    metadata: { source: 'user' },
  })
  await ada.memories.create({
    content: 'Invoices go to accounting@example.com.',
    tags: ['work'],
    metadata: { pinned: true },
  })
  await storage.queues.push('oslo', 'steer', { id: 'q1', text: 'A window seat, please.' })
  await storage.queues.push('oslo', 'steer', { id: 'q2', text: 'And the quiet car.' })
  await storage.queues.push('oslo', 'followUp', { id: 'q3', text: 'Book the hotel.' })
  await storage.approvals.request({
    id: 'book',
    sessionId: 'oslo',
    type: 'tool',
    request: { tool: 'book_train', input: { train: '9:04', price: 'EUR 89' } },
  })
  await storage.approvals.request({
    id: 'mail',
    sessionId: 'session-1',
    type: 'tool',
    request: { tool: 'send_mail', input: { to: 'grace@example.com' } },
  })
  await storage.approvals.respond({ id: 'mail', decision: 'approved', data: { by: 'ada' } })
  await executions(storage)
}

async function conversation(storage: Storage, image: string): Promise<void> {
  const ada = storage.scope({ ownerId: 'ada' })
  await ada.sessions.create({
    id: 'oslo',
    title: 'Trip to Oslo in spring',
    metadata: { model: 'large', language: 'en' },
  })
  await ada.messages.append('oslo', [
    { id: 'm1', role: 'system', content: 'You book journeys. Ask before you spend money.' },
    {
      id: 'm2',
      role: 'user',
      content: 'Find me a train to Oslo on Friday morning, and show me the way from the station.',
    },
    {
      id: 'm3',
      role: 'assistant',
      content: [
        { type: 'reasoning', text: 'The user wants a train. The timetable has it.' },
        { type: 'text', text: 'I look at the timetable.' },
        {
          type: 'tool-call',
          toolCallId: 'c1',
          toolName: 'find_trains',
          input: { to: 'Oslo S', day: 'Friday', before: '12:00' },
        },
      ],
    },
    {
      id: 'm4',
      role: 'tool',
      content: [
        {
          type: 'tool-result',
          toolCallId: 'c1',
          toolName: 'find_trains',
          output: { trains: ['7:32', '9:04', '11:04'] },
        },
      ],
    },
    {
      id: 'm5',
      role: 'assistant',
      content: [
        {
          type: 'text',
          text: 'There are trains at 7:32, 9:04 and 11:04. The hotel is ten minutes from the station 🚉:',
        },
        { type: 'image', image },
      ],
    },
    { id: 'm6', role: 'user', content: 'The one at 9:04, please. شكرا جزيلا' },
  ])
}

async function executions({ toolExecutions, events }: Storage): Promise<void> {
  const identity = (toolCallId: string) => ({ runId: 'run-1', turnId: 't1', modelStepId: 's1', toolCallId })
  const outcomes = ['completed', 'failed', 'running', 'cancelled'] as const
  for (const [i, outcome] of outcomes.entries()) {
    const { record } = await toolExecutions.start({
      identity: identity(`c${i}`),
      toolName: ['find_trains', 'find_hotels', 'book_train', 'send_mail'][i] ?? '',
      input: { to: 'Oslo S', day: 'Friday' },
    })
    if (outcome === 'completed') await toolExecutions.complete(record.executionId, { trains: ['7:32', '9:04'] })
    if (outcome === 'failed')
      await toolExecutions.fail(record.executionId, { message: 'The server did not answer within 10 s' })
    if (outcome === 'cancelled') await toolExecutions.cancel(record.executionId, { reason: 'the user has left' })
  }
  await events.append([
    { type: 'run.started', sessionId: 'oslo', runId: 'run-1' },
    {
      type: 'tool.called',
      sessionId: 'oslo',
      runId: 'run-1',
      payload: { tool: 'find_trains', input: { to: 'Oslo S' } },
    },
    { type: 'tool.answered', sessionId: 'oslo', runId: 'run-1', payload: { trains: 3 } },
    { type: 'approval.asked', sessionId: 'oslo', runId: 'run-1', payload: { id: 'book' } },
  ])
}
