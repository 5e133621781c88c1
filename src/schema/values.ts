// The types of column values. They do not depend on drizzle, so the public types can use them.

/** Any JSON value: what a metadata field or a value can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A JSON object: the shape of every `metadata`. */
export type JsonObject = { [key: string]: Json }

/** Text, parts such as `{ type: 'text', text: '...' }`, or null (an assistant that only calls tools). */
export type MessageContent = string | MessagePart[] | null
export type MessagePart = JsonObject & { type: string }

export type MemorySource = 'user' | 'system'

/** An item of a queue: any JSON object with an id. */
export type QueueItem = JsonObject & { id: string }

export type ToolExecutionStatus = 'running' | 'completed' | 'failed' | 'cancelled'

/** Which tools a session runs without approval, and which it never offers. */
export type ToolPreferenceSet = { autoApproved: string[]; disabled: string[] }
