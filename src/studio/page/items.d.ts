/** What the API sends: the items of the repositories, with times as ISO texts. */
export interface SessionItem {
  id: string
  title: string | null
  ownerId: string
  metadata: Record<string, unknown>
  version: number
  parentId: string | null
  createdAt: string
  updatedAt: string
  expiresAt: string | null
  lastSeq: number
  messageCount: number
  lastActiveAt: string
}

export interface MessageItem {
  sessionId: string
  seq: number
  id: string
  role: string
  content: unknown
  metadata: Record<string, unknown>
  createdAt: string
}

export interface ForkItem {
  id: string
  title: string | null
  parentId: string | null
  messageCount: number
  createdAt: string
  /** Where the list of its forks goes on. */
  more?: string
}

export interface HitItem {
  text: string
  highlights: [start: number, end: number][]
  id: string
  at: string
  seq?: number
  role?: string
  sessionId?: string
  ownerId?: string
  title?: string | null
}

export interface MemoryItem {
  id: string
  ownerId: string
  content: string
  tags: string[]
  metadata: Record<string, unknown>
  createdAt: string
}

export interface EventItem {
  seq: number
  id: string
  ownerId: string
  type: string
  sessionId: string | null
  runId: string | null
  payload: unknown
  occurredAt: string
}

export interface QueueSummaryItem {
  sessionId: string
  ownerId: string
  queue: string
  length: number
}

export interface QueueItem {
  id: string
}

export interface ApprovalItem {
  id: string
  ownerId: string
  sessionId: string | null
  type: string
  request: unknown
  createdAt: string
  response: { decision: string; data: unknown; respondedAt: string } | null
}

export interface ExecutionItem {
  executionId: string
  ownerId: string
  identity: { runId: string; turnId: string; modelStepId: string; toolCallId: string }
  toolName: string
  input: unknown
  status: string
  output: unknown
  error: unknown
  startedAt: string
  finishedAt: string | null
}

export interface BlobItem {
  id: string
  ownerId: string
  hash: string
  size: number
  name: string | null
  mimeType: string
  source: string | null
  metadata: Record<string, unknown>
  createdAt: string
  lastUsedAt: string
}

export interface ListPage<Item> {
  items: Item[]
  nextCursor?: string
  shortened?: Record<number, number>
}

/** What the server says of itself. */
export interface About {
  write: boolean
  search: boolean
  database: string
}

/** What a page is given. */
export interface View {
  /** What follows the question mark in the address. */
  given: URLSearchParams
  /** The owner whose data is shown: of the address, else of the field. Empty if everybody's is shown. */
  owner: string
  about: About
  /** Aborted when the reader goes to another page. */
  signal: AbortSignal
}
