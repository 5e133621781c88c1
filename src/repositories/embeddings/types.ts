import type { JsonObject, MemorySource, MessageContent, MessageRole } from '../../schema/values.ts'
import type { Ranks } from '../../search/ranks.ts'
import type { Vector } from '../../search/vectors.ts'
import type { Memory } from '../memories/types.ts'
import type { Message } from '../messages/types.ts'

/** What a call of the model is told beside the texts. */
export interface EmbedCall {
  /** Aborted when nobody waits for the answer any more: the time is over, or the storage is being closed. */
  signal: AbortSignal
  /** 'document': texts that are stored. 'query': a text that is searched for. Some models embed the two differently. */
  purpose: 'document' | 'query'
}

/** A model that turns texts into vectors. Nothing is downloaded, and no service is known: the program calls its own. */
export interface EmbeddingModel {
  /**
   * The name of the model, as long as it makes the same vectors of the same texts. Vectors of models with different names or
   * dimensions are never compared. 1 to 200 characters.
   */
  model: string
  /** How many numbers each vector has: 1 to 8192. */
  dimensions: number
  /** Returns a vector for each text, in the order of the texts. Never called inside a transaction. */
  embed(texts: string[], call: EmbedCall): Promise<readonly Vector[]>
  /** How many texts one call gets at most: 1 to 2048. Default 64. */
  batchSize?: number | undefined
  /** How long a call may take. Then it counts as failed. Milliseconds. Default 30,000. */
  timeoutMillis?: number | undefined
  /** How much of a text the model gets, in characters: models refuse texts that are too long. Default 8000. */
  maxCharacters?: number | undefined
}

/** How texts are found: by their words, by their meaning, or by both. */
export type RecallMode = 'text' | 'vector' | 'hybrid'

/** Options that both calls of `recall()` have. */
export interface RecallOptions {
  /**
   * 'text': by the words of the query, any of them. 'vector': by its meaning. 'hybrid': by both, merged by reciprocal rank
   * fusion. Default: 'hybrid' if `database.options.search` is on, otherwise 'vector'.
   */
  mode?: RecallMode | undefined
  /** The vector of the query, if the program has it already. Then the model is not called. Needed inside a transaction. */
  vector?: Vector | undefined
  /** How many results are returned: 1 to 100. Default 10. */
  limit?: number | undefined
  /**
   * The least similarity of a text that is found by its meaning: -1 to 1. What a good value is depends on the model. Default:
   * the most similar texts, however little they are.
   */
  minScore?: number | undefined
}

/** Options of `memories.recall()`. A memory must match all filters. */
export interface RecallMemoriesOptions extends RecallOptions {
  /** Only memories with these tags, up to 10. Default: any tags. */
  tags?: readonly string[] | undefined
  /** Whether a memory needs any or all of the `tags`. Default 'any'. */
  match?: 'any' | 'all' | undefined
  /** Only memories with this source. Default: any source, or none. */
  source?: MemorySource | undefined
}

/** Options of `messages.recall()`. A message must match all filters. */
export interface RecallMessagesOptions extends RecallOptions {
  /** Only messages of this session. Default: of all sessions. */
  sessionId?: string | undefined
  /** Only messages of this role. Default: of all roles. */
  role?: MessageRole | undefined
  /** How many messages before and after each result are returned with it: 0 to 100 each. Default: none. */
  context?: { before?: number | undefined; after?: number | undefined } | undefined
}

/** How well a text answers. */
export interface Recalled {
  /** The greater, the better. The cosine similarity, the fused ranks, or what `search` calls the relevance: see the mode. */
  score: number
  /** The places of the text in the results by words and by meaning, from 1. */
  ranks: Ranks
  /** The cosine similarity of the meanings, from -1 to 1. Given if the text was found by its meaning. */
  similarity?: number
}

/** A memory that was recalled. */
export interface RecalledMemory<Metadata extends object = JsonObject> extends Recalled {
  memory: Memory<Metadata>
}

/** A message that was recalled. */
export interface RecalledMessage<Content = MessageContent, Metadata extends object = JsonObject> extends Recalled {
  message: Message<Content, Metadata>
  /** The messages beside it, in the order of the conversation. Given if `context` was. */
  context?: { before: Message<Content, Metadata>[]; after: Message<Content, Metadata>[] }
}

/** What was recalled, the best first. */
export interface Recall<Item> {
  items: Item[]
  /**
   * True if texts may be missing: this process has some to embed, has not looked yet whether there are any, or the full-text
   * index is not built. Absent otherwise.
   */
  incomplete?: true
}
