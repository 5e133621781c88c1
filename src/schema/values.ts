// The types of column values. They do not depend on drizzle, so the public types can use them.

/** Any JSON value: what a metadata field or a value can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A JSON object: the shape of every `metadata`. */
export type JsonObject = { [key: string]: Json }

/** The properties of a JSON object to change: a value sets the property, and undefined removes it. */
export type MetadataPatch<Metadata> = { [K in keyof Metadata]?: Metadata[K] | undefined }

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** What a call takes for a stored `T`: a `T` if the caller has named one in place of the default `Stored`, else `Input`. */
export type Given<T, Stored, Input> = Same<T, Stored> extends true ? Input : NoInfer<T>

// The names that most programs use, for completion. Any other text is as good: `string & {}` keeps the union from becoming
// `string`.

/** The author of a message: any text of 1 to 100 characters. */
export type MessageRole = 'system' | 'user' | 'assistant' | 'tool' | (string & {})
/** The kind of a message part: any text. */
export type MessagePartType = 'text' | 'image' | 'file' | 'tool-call' | 'tool-result' | 'reasoning' | (string & {})
/** The decision on an approval request: any text of 1 to 100 characters. */
export type ApprovalDecision = 'approved' | 'denied' | (string & {})

/** Text, parts such as `{ type: 'text', text: '...' }`, or null (an assistant that only calls tools). */
export type MessageContent = string | MessagePart[] | null
/** A part of a message's content. */
export type MessagePart = JsonObject & { type: MessagePartType }

export type MemorySource = 'user' | 'system'

/** An item of a queue: any JSON object with an id. */
export type QueueItem = JsonObject & { id: string }

export type ToolExecutionStatus = 'running' | 'completed' | 'failed' | 'cancelled'

/** Which tools a session runs without approval, and which it never offers. */
export type ToolPreferenceSet = { autoApproved: string[]; disabled: string[] }
