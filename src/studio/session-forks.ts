import type { SessionSummary, Storage } from '../index.ts'
import { lookAtNewest } from './newest-sessions.ts'

/** How far up the origins are followed. */
const ORIGINS = 100
/** The most sessions that a tree shows. */
const NODES = 200

/** A session in a tree of forks. */
export interface ForkNode {
  id: string
  title: string | null
  /** Undefined for the first session of the tree, and for a fork whose origin is gone. */
  parentId: string | null
  messageCount: number
  createdAt: Date
}

/** The tree of forks that a session belongs to: each session after its origin. */
export interface Forks {
  nodes: ForkNode[]
  /** False if there were too many sessions to look at all. */
  complete: boolean
}

/** Returns the tree that a session belongs to: its first origin, and everything that was forked from it. */
export async function forksOf({ sessions }: Pick<Storage, 'sessions'>, session: SessionSummary): Promise<Forks> {
  const known = new Map([[session.id, nodeOf(session)]])
  let root = session
  for (let i = 0; i < ORIGINS && root.parentId !== null && !known.has(root.parentId); i++) {
    const origin = await sessions.summary(root.parentId)
    if (origin === undefined) break
    known.set(origin.id, nodeOf(origin))
    root = origin
  }
  // A fork is younger than its origin and has its owner, so the walk over the newest sessions ends at the root.
  const ownerId = root.ownerId === '' ? undefined : root.ownerId
  const younger: SessionSummary[] = []
  const complete = await lookAtNewest({ sessions }, ownerId, (item) => {
    if (item.createdAt < root.createdAt) return false
    if (item.parentId !== null) younger.push(item)
    return true
  })
  for (const item of younger.toReversed()) {
    if (known.size >= NODES) return { nodes: [...known.values()], complete: false }
    if (item.parentId !== null && known.has(item.parentId)) known.set(item.id, nodeOf(item))
  }
  return { nodes: [...known.values()], complete }
}

function nodeOf({ id, title, parentId, messageCount, createdAt }: SessionSummary): ForkNode {
  return { id, title, parentId, messageCount, createdAt }
}
