import type { Page, PageOptions } from '../../database/paging/page.ts'
import type { JsonObject, MessageContent, MessageRole } from '../../schema/values.ts'
import type { Highlight } from '../../search/highlights.ts'
import type { Memory } from '../memories/types.ts'
import type { Message } from '../messages/types.ts'
import type { SessionSummary } from '../sessions/types.ts'

/** The order of hits. */
export type SearchOrder = 'newest' | 'relevance'

/** One page of hits. */
export interface SearchPage<Hit> extends Page<Hit> {
  /**
   * True while texts from before the search was switched on are not indexed yet: they may be missing. Absent if the index is
   * complete.
   */
  incomplete?: true
}

/** What was found in a text. */
export interface TextHit {
  /** The text that was searched. */
  text: string
  /** Where the text has what the query asks for: [start, end] in UTF-16 units, in order, without overlaps. */
  highlights: Highlight[]
  /** The greater, the better the text fits. Given if the order is 'relevance'. The databases compute it differently. */
  score?: number
}

/** A message that was found. */
export interface MessageHit<Content = MessageContent, Metadata extends object = JsonObject> extends TextHit {
  message: Message<Content, Metadata>
  /** Whose message it is: the owner of its session. '' if nobody owns it. */
  ownerId: string
  /** The messages beside it, in the order of the conversation. Given if `context` was. */
  context?: { before: Message<Content, Metadata>[]; after: Message<Content, Metadata>[] }
}

/** Options of `messages.search()`. */
export interface SearchMessagesOptions extends PageOptions {
  /** Only messages of this session. Default: of all sessions. */
  sessionId?: string | undefined
  /** Only messages of this role. Default: of all roles. */
  role?: MessageRole | undefined
  /** 'newest': what was appended last comes first. 'relevance': what fits best. Default 'newest'. */
  order?: SearchOrder | undefined
  /** How many messages before and after each hit are returned with it: 0 to 100 each. Default: none. */
  context?: { before?: number | undefined; after?: number | undefined } | undefined
}

/** A memory that was found. */
export interface MemoryHit<Metadata extends object = JsonObject> extends TextHit {
  memory: Memory<Metadata>
}

/** Options of `memories.search()`. */
export interface SearchMemoriesOptions extends PageOptions {
  /** 'newest': what was created last comes first. 'relevance': what fits best. Default 'newest'. */
  order?: SearchOrder | undefined
}

/** A session in which something was found. */
export interface SessionHit<Metadata extends object = JsonObject> extends TextHit {
  session: SessionSummary<Metadata>
  /** The newest message that was found in the session. */
  message: Message
}

/** Options of `sessions.search()`. */
export type SearchSessionsOptions = PageOptions
