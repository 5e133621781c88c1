import type { Repositories, SessionSummary, Storage } from '../index.ts'

/** How far up the origins are followed. */
const ORIGINS = 30
/** How many sessions one answer shows, and how many lists of forks it reads. */
const NODES = 50
const LISTS = 50
const PAGE = 30

/** A session in a tree of forks. */
export interface ForkNode {
  id: string
  title: string | null
  /** Null for the first session of the tree. */
  parentId: string | null
  messageCount: number
  createdAt: Date
  /** Where the list of its forks goes on; the empty string is its beginning. Undefined if all its forks are in the tree. */
  more?: string
}

/** A part of the tree of forks that a session belongs to. */
export interface Forks {
  nodes: ForkNode[]
  /** True if the first session of the tree has an origin that was not read. */
  hasOrigin: boolean
}

/**
 * Returns the tree that a session belongs to: its origins, and what was forked from them, the session's own forks first. A large
 * tree is cut where `more` is.
 */
export async function forksOf(storage: Storage, session: SessionSummary): Promise<Forks> {
  const sessions = sessionsOf(storage, session)
  const origins = [session]
  let root = session
  let hasOrigin = false
  while (root.parentId !== null) {
    const origin = await sessions.summary(root.parentId)
    hasOrigin = origin !== undefined && origins.length > ORIGINS
    if (origin === undefined || hasOrigin) break
    origins.push(origin)
    root = origin
  }
  const nodes = await withForks(sessions, origins.map(nodeOf))
  return { nodes, hasOrigin }
}

/** Returns the forks of a session from a place on, with their own forks. The session itself comes first. */
export async function moreForksOf(storage: Storage, session: SessionSummary, cursor: string): Promise<Forks> {
  const nodes = await withForks(sessionsOf(storage, session), [{ ...nodeOf(session), more: cursor }])
  return { nodes, hasOrigin: false }
}

/** Forks have the owner of their origin. Without an owner an id may name the sessions of several owners. */
function sessionsOf(storage: Storage, { ownerId }: SessionSummary): Repositories['sessions'] {
  return (ownerId === '' ? storage : storage.scope({ ownerId })).sessions
}

/** Adds the forks of each node, and theirs, until there are too many. */
async function withForks(sessions: Repositories['sessions'], first: readonly ForkNode[]): Promise<ForkNode[]> {
  const known = new Map(first.map((node) => [node.id, node]))
  let lists = 0
  // A map yields what is added to it during the walk as well.
  for (const node of known.values()) {
    while (node.more !== undefined && lists < LISTS && known.size < NODES) {
      lists++
      const { items, nextCursor } = await sessions.forks(node.id, { limit: PAGE, cursor: node.more || undefined })
      for (const fork of items) if (!known.has(fork.id)) known.set(fork.id, nodeOf(fork))
      if (nextCursor === undefined) delete node.more
      else node.more = nextCursor
    }
  }
  return [...known.values()]
}

function nodeOf({ id, title, parentId, messageCount, createdAt }: SessionSummary): ForkNode {
  return { id, title, parentId, messageCount, createdAt, more: '' }
}
