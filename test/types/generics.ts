import type {
  AgentEvent,
  Approval,
  Json,
  JsonObject,
  LocatedEntry,
  Memory,
  Message,
  MessageContent,
  Page,
  Prompt,
  QueueItem,
  Session,
  Storage,
  TakenItem,
  ToolExecution,
  Workspace,
} from 'holdfast'
import type { Same } from './same.ts'

// Checked by tsc: a call returns the type that its caller names, and JSON without one.

interface Todo {
  title: string
  done?: boolean
}
interface Profile {
  language: string
}
interface Text {
  type: 'text'
  text: string
}

export async function named(storage: Storage, todo: Todo, profile: Profile) {
  const { kv, lists, queues, sessions, messages, memories, events, prompts, toolState, approvals, workspaces } = storage

  const value = await kv.get<Todo>('key')
  const many = await kv.getMany<Todo>(['key'])
  const entry = await kv.set<Todo>('key', todo)
  const kept = await kv.setIfAbsent<Todo>('key', { title: 'x' })
  const { items: entries } = await kv.entries<Todo>()
  const { items: located } = await kv.namespace('a').find<Todo>({ where: { title: 'x', done: { in: [true, false] } } })
  const cached = await storage.cache.get<Todo>('key')
  await storage.cache.set<Todo>('key', todo)
  const state = await toolState.get<Todo>('tool', 'key')
  const range = await lists.range<Todo>('key', 0, 10)
  const first = await lists.update('key', (items: Todo[]) => ({ items: items.slice(1), result: items.at(0) }))
  const taken = await queues.takeAll<Todo & { id: string }>('id', 'steer')
  const leased = (await queues.take<Todo & { id: string }>('id', 'steer', { leaseSeconds: 60 })).at(0)

  const session = await sessions.get<Profile>('id')
  const created = await sessions.create<Profile>({ metadata: profile })
  const merged = await sessions.mergeMetadata<Profile>('id', { language: 'de' })
  const { items: summaries } = await sessions.list<Profile>()
  const message = await messages.append<Text[], Profile>('id', { role: 'user', content: [{ type: 'text', text: 'x' }] })
  const page = await messages.list<Text[], Profile>('id')
  const memory = await memories.update<Profile>('id', { metadata: { language: undefined } })
  const event = await events.append<Todo>({ type: 'x', payload: todo })
  const prompt = await prompts.get<Text[], Profile>('name')
  const approval = await approvals.get<Todo, Profile>('id')
  const scope = await approvals.getState<Profile>('id')
  const execution = await storage.toolExecutions.complete<Todo, Profile>('id', profile)
  const { record: started } = await storage.toolExecutions.start<Todo, Profile>({
    identity: { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' },
    toolName: 'search',
    input: todo,
  })
  const workspace = await workspaces.getCurrent<Profile>()
  const blob = await storage.blobs.put<Profile>(new Uint8Array(), { metadata: profile })

  const same: [
    Same<typeof value, Todo | undefined>,
    Same<typeof many, Map<string, Todo>>,
    Same<typeof entry.value, Todo>,
    Same<typeof kept.value, Todo>,
    Same<(typeof entries)[number]['value'], Todo>,
    Same<(typeof located)[number], LocatedEntry<Todo>>,
    Same<typeof cached, Todo | undefined>,
    Same<typeof state, Todo | undefined>,
    Same<typeof range, Todo[]>,
    Same<typeof first, Todo | undefined>,
    Same<typeof taken, (Todo & { id: string })[]>,
    Same<typeof leased, TakenItem<Todo & { id: string }> | undefined>,
    Same<typeof session, Session<Profile> | undefined>,
    Same<typeof created.metadata, Profile>,
    Same<typeof merged, Session<Profile>>,
    Same<(typeof summaries)[number]['metadata'], Profile>,
    Same<typeof message, Message<Text[], Profile>>,
    Same<typeof page, Page<Message<Text[], Profile>>>,
    Same<typeof memory, Memory<Profile>>,
    Same<typeof event, AgentEvent<Todo>>,
    Same<typeof prompt, Prompt<Text[], Profile> | undefined>,
    Same<typeof approval, Approval<Todo, Profile> | undefined>,
    Same<typeof scope, Profile | undefined>,
    Same<typeof execution, ToolExecution<Todo, Profile>>,
    Same<typeof started.output, Profile | null>, // it runs yet
    Same<typeof workspace, Workspace<Profile> | undefined>,
    Same<typeof blob.metadata, Profile>,
  ] = [
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
  ]
  return same
}

export async function unnamed(storage: Storage, todo: Todo) {
  const { kv, lists, queues, sessions, messages, events } = storage
  const value = await kv.get('key')
  const kept = await kv.setIfAbsent('key', todo)
  const state = await storage.cache.get('key')
  const length = await lists.update('key', (items) => ({ items: [...items, todo], result: items.length }))
  const range = await lists.range('key', 0, 1)
  const taken = await queues.takeAll('id', 'steer')
  const session = await sessions.create({ metadata: todo })
  const message = await messages.append('id', { role: 'user', content: 'x', metadata: todo })
  const event = await events.append({ type: 'x', payload: todo })
  const same: [
    Same<typeof value, Json | undefined>,
    Same<typeof kept.value, Json>,
    Same<typeof state, Json | undefined>,
    Same<typeof length, number>,
    Same<typeof range, Json[]>,
    Same<typeof taken, QueueItem[]>,
    Same<typeof session.metadata, JsonObject>,
    Same<typeof message, Message<MessageContent, JsonObject>>,
    Same<typeof event.payload, Json>,
  ] = [true, true, true, true, true, true, true, true, true]
  return same
}

/** All fields are optional. */
interface Mood {
  mood?: string
}

export async function refused(storage: Storage) {
  const { kv, lists, sessions, messages, events, cache } = storage
  // @ts-expect-error the value is not of the named type
  await kv.set<Todo>('key', { titel: 'x' })
  // @ts-expect-error the value is not of the named type
  await kv.setIfAbsent<Todo>('key', 1)
  // @ts-expect-error the value is not of the named type
  await cache.set<Todo>('key', 'x')
  // @ts-expect-error the items are not of the type that the callback names
  await lists.update('key', (items: Todo[]) => ({ items: [...items, 1], result: null }))
  // @ts-expect-error the metadata is not of the named type
  await sessions.create<Profile>({ metadata: { language: 1 } })
  // @ts-expect-error the patch is not of the named type
  await sessions.mergeMetadata<Profile>('id', { language: 1 })
  // @ts-expect-error the metadata is not of the named type
  await sessions.create<Mood>({ metadata: { mood: 1 } })
  // @ts-expect-error the patch is not of the named type
  await storage.memories.update<Mood>('id', { metadata: { mood: 1 } })
  // @ts-expect-error metadata is an object
  await sessions.get<string>('id')
  // @ts-expect-error the content is not of the named type
  await messages.append<Text[]>('id', { role: 'user', content: [{ type: 'image' }] })
  // @ts-expect-error the metadata is not of the named type
  await storage.blobs.put<Profile>(new Uint8Array(), { metadata: {} })
  // @ts-expect-error the payload is not of the named type
  await events.append<Todo>({ type: 'x', payload: {} })
}
