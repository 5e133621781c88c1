import type { AgentEvent, BlobInput, EventInput, Message, MessageInput, Storage } from 'holdfast'

// Checked by tsc: JSON can be given as an object literal or as a value of a program's own interface.

interface Text {
  type: 'text'
  text: string
}
interface Item {
  id: string
  prompt: string
}
interface Origin {
  topic: string
  turns?: number
}
interface Source extends Origin {
  source: 'user'
}

export async function interfaces(storage: Storage, bytes: BlobInput, values: { part: Text; item: Item; own: Origin }) {
  const { part, item, own } = values
  const from: Source = { ...own, source: 'user' }
  const { sessions, messages, memories } = storage
  await sessions.create({ metadata: own })
  await sessions.update('id', { metadata: own })
  await sessions.mergeMetadata('id', own)
  await messages.append('id', { role: 'user', content: [part], metadata: own })
  await messages.append('id', [{ role: 'user', content: [part, { type: 'image', url: 'blob:1' }] }])
  await messages.update('id', 'm', { content: [part], metadata: own })
  await memories.create({ content: 'x', metadata: own })
  await memories.update('id', { metadata: from })
  await storage.kv.set('key', own)
  await storage.kv.setIfAbsent('key', [own])
  await storage.lists.append('key', own)
  await storage.lists.update('key', () => ({ items: [own], result: null }))
  await storage.queues.push('id', 'steer', item)
  await storage.events.append({ type: 'x', payload: own })
  await storage.prompts.save({ name: 'x', content: [part], metadata: own })
  await storage.workspaces.save({ path: '/', metadata: own })
  await storage.toolState.set('tool', 'key', own)
  await storage.toolExecutions.complete('id', own)
  await storage.approvals.request({ type: 'tool', request: own })
  await storage.approvals.respond({ id: 'x', decision: 'yes', data: own })
  await storage.approvals.setState(own)
  await storage.cache.set('key', own)
  await storage.blobs.put(bytes, { metadata: own })
}

export async function literals({ sessions, messages, memories, queues, blobs }: Storage) {
  await sessions.create({ metadata: { mood: 'curious', gone: undefined } })
  await sessions.mergeMetadata('id', { mood: undefined })
  await messages.append('id', { role: 'user', content: [{ type: 'text', text: 'x' }], metadata: { a: [1] } })
  await messages.update('id', 'm', { content: [{ type: 'text', text: 'x' }] })
  await memories.create({ content: 'x', metadata: { source: 'user', pinned: true, other: 1 } })
  await queues.push('id', 'steer', { id: 'x', text: 'y' })
  await blobs.put(Buffer.from(''), { metadata: { a: 1 } })
}

/** What the program never changes is taken as it is: `as const`, and the readonly lists of its own interfaces. */
export async function constants({ messages, memories, prompts }: Storage, own: { readonly tags: readonly string[] }) {
  const message = { role: 'user', content: [{ type: 'text', text: 'x' }] } as const
  await messages.append('id', message)
  await messages.append('id', [message])
  await messages.update('id', 'm', { content: message.content })
  await prompts.save({ name: 'x', content: message.content })
  await memories.create({ content: 'x', tags: own.tags })
  await memories.update('id', { tags: own.tags })
  await memories.list({ tags: own.tags })
  await memories.recall('x', { tags: own.tags })
}

/** The memory of the bytes is not shared, which `new Response()` and `new Blob()` of the DOM insist on. */
export const bytesOf = ({ blobs }: Storage): Promise<Uint8Array<ArrayBuffer>> => blobs.bytes('blob:x')

export async function refused({ sessions, messages, memories, queues }: Storage, own: Origin) {
  // @ts-expect-error metadata is an object
  await sessions.create({ metadata: 'x' })
  // @ts-expect-error a part has a type
  await messages.append('id', { role: 'user', content: [own] })
  // @ts-expect-error a part that is a literal has a type too
  await messages.append('id', { role: 'user', content: [{ text: 'x' }] })
  // @ts-expect-error an item has an id
  await queues.push('id', 'steer', own)
  // @ts-expect-error there is no such source
  await memories.create({ content: 'x', metadata: { source: 'nobody' } })
}

/** What holds one item or a list is taken, and so is what the program wraps itself. */
export async function oneOrMany(
  storage: Storage,
  given: { message: MessageInput | MessageInput[]; event: EventInput | readonly EventInput[] },
): Promise<[Message | Message[], AgentEvent | AgentEvent[]]> {
  return [await storage.messages.append('id', given.message), await storage.events.append(given.event)]
}
