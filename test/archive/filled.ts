import type { Storage, StorageScope } from 'holdfast'
import { digestsOf, type TableDigest } from '../../src/archive/digest.ts'
import { ARCHIVED, type ArchivedTable } from '../../src/archive/tables.ts'
import { layersOf } from '../../src/storage/layers.ts'

/** Text that a careless format would lose: escapes, a lone surrogate, a NUL, keys in an order of their own. */
export const AWKWARD = {
  z: 'line\nbreak\r\n\u2028',
  a: '\ud800 lone',
  nul: 'a\0b',
  quote: '"\\"',
  number: 1e21,
  tiny: 5e-324,
  deep: { b: [null, true, {}], a: [] },
  emoji: '🙂',
}

type Handle = Pick<Storage, Exclude<keyof StorageScope, 'ownerId' | 'transaction' | 'blobs'>> & {
  blobs: StorageScope['blobs']
  transaction: StorageScope['transaction']
}

/** Writes rows into every table. `secret` is a part of each text. */
export async function fill(storage: Handle, secret: string, messages = 30): Promise<void> {
  const note = `note of ${secret}`
  const id = `chat-${secret}`
  const blob = await storage.blobs.put(Buffer.from(`bytes of ${secret}`), { name: `${secret}.txt`, metadata: { note } })
  await storage.blobs.put(Buffer.from('bytes that several owners have'), { mimeType: 'text/plain' })
  await storage.blobs.put(Buffer.from(`unmentioned ${secret}`), { expiresAt: new Date('2100-01-01T00:00:00.007Z') })
  await storage.sessions.create({ id, title: note, metadata: { ...AWKWARD, note } })
  await storage.messages.append(
    id,
    Array.from({ length: messages }, (_, i) => ({
      id: `m${i}`,
      role: 'user' as const,
      content:
        i % 3 === 0 ? null : i % 3 === 1 ? `${note} ${i} \ud800` : [{ type: 'text', text: `${note} ${i}`, ...AWKWARD }],
      metadata: { i, ...AWKWARD },
    })),
  )
  await storage.messages.append(id, {
    role: 'user',
    content: [
      { type: 'file', file: blob.uri },
      { type: 'text', text: 'x'.repeat(100_000) },
    ],
  })
  await storage.messages.delete(id, ['m3'])
  await storage.sessions.fork(id, { id: `fork-${secret}` })
  await storage.transaction((tx) => tx.once(id, `operation-${secret}`, { note }))
  await storage.kv.set(`key-${secret}`, { note, ...AWKWARD })
  await storage.kv.set(`null-${secret}`, null, { ttlSeconds: 1000 })
  await storage.lists.append(`list-${secret}`, note, AWKWARD, null, 7)
  await storage.kv.set(`of-chat-${secret}`, { note }, { sessionId: id })
  await storage.lists.ofSession(id).append(`of-chat-${secret}`, note, 1)
  await storage.memories.create({
    content: note,
    tags: ['a', 'b', secret],
    metadata: { source: 'user', pinned: true, note },
  })
  await storage.events.append({ type: `type-${secret}`, sessionId: id, runId: 'run', payload: { note } })
  await storage.events.append({ type: 'other', payload: null })
  for (const item of ['q1', 'q2', 'q3']) await storage.queues.push(id, `queue-${secret}`, { id: item, note })
  await storage.queues.take(id, `queue-${secret}`, { leaseSeconds: 60 })
  await storage.prompts.save({ name: `prompt-${secret}`, content: { note }, description: note })
  const workspace = await storage.workspaces.save({ path: `/home/${secret}`, name: note })
  await storage.workspaces.setCurrent(workspace.id)
  await storage.toolState.set(`tool-${secret}`, 'key', { note })
  const identity = { runId: `run-${secret}`, turnId: 't', modelStepId: 's', toolCallId: 'c' }
  const { record } = await storage.toolExecutions.start({ identity, toolName: note, input: { note } })
  await storage.toolExecutions.complete(record.executionId, { note })
  await storage.approvals.request({ id: `approval-${secret}`, type: note, sessionId: id, request: { note } })
  await storage.approvals.setState({ note }, id)
  await storage.toolPreferences.allow(`tool-${secret}`, id)
  await storage.toolPreferences.setPreferences({ disabled: [`tool-${secret}`] }, id)
  const data = Buffer.from(`checkpoint of ${secret} \0\xff`, 'latin1')
  const threadId = `thread-${secret}`
  await storage.checkpoints.put({
    threadId,
    id: 'c1',
    type: 'json',
    data,
    versions: { channel: '1' },
    values: { channel: { type: 'bytes', data } },
    metadata: { note },
  })
  await storage.checkpoints.putWrites({ threadId, id: 'c1', taskId: secret }, [
    { channel: 'w', type: 'x', data: new Uint8Array() },
  ])
}

/** Returns the digests of all archived tables. */
export async function digests(storage: Storage): Promise<Record<ArchivedTable, TableDigest>> {
  const found = await digestsOf(layersOf(storage, 'storage'), { check: () => {} })
  // Every table has a digest.
  return Object.fromEntries(ARCHIVED.map((name) => [name, found.get(name)])) as Record<ArchivedTable, TableDigest>
}
