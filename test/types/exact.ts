import type {
  ApprovalInput,
  ApprovalResponseInput,
  ByteRange,
  DatabaseBlobStoreConfig,
  EventInput,
  FollowEventsOptions,
  ForkOptions,
  InMemoryBlobStoreConfig,
  InMemoryCacheConfig,
  InMemoryCacheOptions,
  InMemoryDatabaseConfig,
  KvSetOptions,
  ListAllowedToolsOptions,
  ListEventsOptions,
  ListMemoriesOptions,
  ListMessagesOptions,
  ListPendingOptions,
  ListPromptsOptions,
  ListToolStateKeysOptions,
  ListWorkspacesOptions,
  LoadOptions,
  LocalBlobStoreConfig,
  MemoryInput,
  MemoryPatch,
  MessageInput,
  MessagePatch,
  PageOptions,
  PostgresConfig,
  PostgresOptions,
  PromptInput,
  PruneEventsOptions,
  PutBlobOptions,
  RedisCacheConfig,
  RedisCacheOptions,
  RedisNode,
  RedisSentinels,
  SessionInput,
  SessionPatch,
  SqliteConfig,
  SqliteOptions,
  Storage,
  StorageConfig,
  StorageConfigFile,
  StorageOptions,
  TakeQueueOptions,
  TlsOptions,
  ToolExecutionInput,
  ToolPreferencesInput,
  VerifyOptions,
  WorkspaceInput,
} from 'holdfast'

// Also compiled with exactOptionalPropertyTypes: an optional property accepts undefined, so that a program can pass it on.

type Optional<T> = { [K in keyof T as object extends Pick<T, K> ? K : never]: T[K] | undefined }
type Lax<T> = Optional<T> extends Pick<T, keyof Optional<T> & keyof T> ? true : false

interface Inputs {
  ApprovalInput: ApprovalInput
  ApprovalResponseInput: ApprovalResponseInput
  ByteRange: ByteRange
  EventInput: EventInput
  FollowEventsOptions: FollowEventsOptions
  ForkOptions: ForkOptions
  KvSetOptions: KvSetOptions
  ListAllowedToolsOptions: ListAllowedToolsOptions
  ListEventsOptions: ListEventsOptions
  ListMemoriesOptions: ListMemoriesOptions
  ListMessagesOptions: ListMessagesOptions
  ListPendingOptions: ListPendingOptions
  ListPromptsOptions: ListPromptsOptions
  ListToolStateKeysOptions: ListToolStateKeysOptions
  ListWorkspacesOptions: ListWorkspacesOptions
  LoadOptions: LoadOptions
  MemoryInput: MemoryInput
  MemoryPatch: MemoryPatch
  MessageInput: MessageInput
  MessagePatch: MessagePatch
  PageOptions: PageOptions
  PromptInput: PromptInput
  PruneEventsOptions: PruneEventsOptions
  PutBlobOptions: PutBlobOptions
  SessionInput: SessionInput
  SessionPatch: SessionPatch
  StorageConfig: StorageConfig
  TakeQueueOptions: TakeQueueOptions
  TlsOptions: TlsOptions
  LocalBlobStoreConfig: LocalBlobStoreConfig
  DatabaseBlobStoreConfig: DatabaseBlobStoreConfig
  InMemoryBlobStoreConfig: InMemoryBlobStoreConfig
  PostgresOptions: PostgresOptions
  PostgresConfig: PostgresConfig
  SqliteOptions: SqliteOptions
  SqliteConfig: SqliteConfig
  InMemoryDatabaseConfig: InMemoryDatabaseConfig
  RedisSentinels: RedisSentinels
  RedisNode: RedisNode
  RedisCacheOptions: RedisCacheOptions
  RedisCacheConfig: RedisCacheConfig
  InMemoryCacheOptions: InMemoryCacheOptions
  InMemoryCacheConfig: InMemoryCacheConfig
  StorageConfigFile: StorageConfigFile
  StorageOptions: StorageOptions
  ToolExecutionInput: ToolExecutionInput
  ToolPreferencesInput: ToolPreferencesInput
  VerifyOptions: VerifyOptions
  WorkspaceInput: WorkspaceInput
}
type NotLax = { [K in keyof Inputs]: Lax<Inputs[K]> extends true ? never : K }[keyof Inputs]

/** If an input is not lax, the compiler's error names it. */
export const lax: [NotLax] extends [never] ? [] : NotLax = []

type Given = Partial<Record<'cursor' | 'prefix' | 'sessionId', string>> & { limit?: number; flag?: boolean; at?: Date }

export async function inline(storage: Storage, { cursor, prefix, sessionId, limit, flag, at }: Given) {
  const { sessions, queues, kv, lists, approvals, toolState, toolPreferences, prompts, workspaces, blobs } = storage
  await sessions.list({ ownerId: sessionId, limit, cursor })
  await sessions.update('id', { title: prefix }, { ifVersion: limit })
  await queues.list('id', 'steer', { limit, cursor })
  await queues.take('id', 'steer', { limit, leaseSeconds: 60 })
  await kv.keys({ prefix, limit, cursor })
  await kv.entries({ prefix, limit, cursor })
  await kv.setIfAbsent('key', 1, { ttlSeconds: limit })
  await storage.cache.set('key', 1, { ttlSeconds: limit })
  await lists.keys({ prefix, cursor })
  await approvals.listPending({ sessionId, cursor })
  await toolState.keys('tool', { prefix, cursor })
  await toolPreferences.listAllowed({ sessionId, cursor })
  await prompts.list({ prefix, cursor })
  await workspaces.list({ limit, cursor })
  await storage.memories.create({ content: 'x', metadata: { source: undefined, pinned: flag } })
  await blobs.list({ source: sessionId, cursor })
  await blobs.delete('id', { force: flag })
  await blobs.cleanup({ olderThan: at, dryRun: flag })
  for await (const { seq } of storage.messages.iterate('id', { batchSize: limit })) console.log(seq)
}
