import type { Storage } from 'holdfast'

export type Handle = Pick<
  Storage,
  'approvals' | 'events' | 'kv' | 'lists' | 'memories' | 'messages' | 'prompts' | 'queues'
> &
  Pick<
    Storage,
    'sessions' | 'toolExecutions' | 'transaction' | 'toolPreferences' | 'toolState' | 'workspaces' | 'checkpoints'
  > & {
    blobs: Pick<Storage['blobs'], 'put'>
  }

/** Fills every table, with names that every owner uses. */
export async function fill(handle: Handle, mark: string) {
  const { uri } = await handle.blobs.put(Buffer.from('shared bytes'))
  await handle.blobs.put(Buffer.from(mark), { name: mark })
  await handle.messages.append('main', { id: 'm', role: 'user', content: `${mark} ${uri}` })
  await handle.sessions.update('main', { title: mark })
  await handle.transaction((tx) => tx.once('main', 'operation', mark))
  await handle.kv.set('k', mark)
  await handle.lists.append('l', mark, mark)
  await handle.kv.set('of a session', mark, { sessionId: 'main' })
  await handle.lists.ofSession('main').append('of a session', mark)
  await handle.memories.create({ content: mark, tags: ['a', 'b'] })
  await handle.events.append({ type: 'with a session', sessionId: 'main', payload: mark })
  await handle.events.append({ type: 'without', payload: mark })
  await handle.queues.push('main', 'q', { id: 'i', mark })
  await handle.queues.push('no session', 'q', { id: 'i', mark })
  await handle.prompts.save({ name: 'p', content: mark })
  await handle.workspaces.save({ path: '/w', name: mark })
  await handle.toolState.set('t', 'k', mark)
  const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  await handle.toolExecutions.start({ identity, toolName: 't', input: mark })
  await handle.approvals.request({ id: 'a', type: 't', request: mark })
  await handle.approvals.setState(mark)
  await handle.approvals.setState(mark, 'main')
  const bytes = { type: 'text', data: Buffer.from(mark) }
  await handle.checkpoints.put({ threadId: 'main', id: '1', ...bytes, versions: { a: '1' }, values: { a: bytes } })
  await handle.checkpoints.putWrites({ threadId: 'main', id: '1', taskId: 'x' }, [{ channel: 'a', ...bytes }])
  await handle.toolPreferences.setPreferences({ disabled: ['x'] })
  await handle.toolPreferences.allow('x', 'main')
}
