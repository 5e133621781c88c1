export type {
  ArchiveProgress,
  BackupOptions,
  BackupReport,
  CopyOptions,
  CopyReport,
  ExportOptions,
  ExportReport,
  ExportSelection,
  ImportOptions,
  ImportReport,
  RefusedRow,
  TableComparison,
  TableOutcome,
} from './archive/types.ts'
export type { BlobReads } from './blobs/blob-reads.ts'
export type { Blobs } from './blobs/blobs.ts'
export type {
  BytesBackend,
  CommitOptions,
  Content,
  ListOptions,
  Location,
  Quarantined,
  Staged,
  StageOptions,
  UrlOptions,
} from './blobs/bytes/backend.ts'
export type { BlobInput } from './blobs/input/source.ts'
export {
  type BlobCleanup,
  type BlobRecord,
  type BlobStats,
  type BlobUrlOptions,
  type BlobVerification,
  type ByteRange,
  type CleanupBlobsOptions,
  type DeleteBlobOptions,
  type ListBlobsOptions,
  type PutBlobOptions,
  putBlobOptionsSchema,
  type VerifyOptions,
  type VerifyReport,
  type VerifyStep,
} from './blobs/types.ts'
export type { CacheAsideStats } from './cache/cache-aside.ts'
export {
  type BreakerState,
  BYPASS,
  type CacheEntry,
  type CacheStore,
  type CacheStoreStats,
  type MaybePromise,
} from './cache/store.ts'
export type { CacheKeysOptions, CacheSetOptions, UserCache } from './cache/user-cache.ts'
export { type LoadOptions, loadStorageConfig } from './config/load.ts'
export type * from './config/resolved.ts'
export type * from './config/types.ts'
export type * from './config/valid.ts'
export type { Order, Page, PageOptions } from './database/paging/page.ts'
export type { Finding } from './diagnosis/findings.ts'
export {
  type AnyStorageError,
  type DatabaseAddress,
  type DatabaseErrorDetails,
  type FileErrorDetails,
  type ImportErrorDetails,
  isStorageError,
  type ObjectErrorDetails,
  type Problem,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
  type StorageErrorOptions,
} from './errors.ts'
export type { DetailsFirstLogger, LogCode, LogComponent, LogDetails, LoggedError, Logger } from './logger.ts'
export type { MaintenanceReport } from './maintenance/scheduler.ts'
export type {
  BlobMessage,
  CacheMessage,
  CacheResult,
  DatabaseSource,
  MaintenanceMessage,
  MessageError,
  OperationMessage,
  StatementMessage,
  TracedMessage,
  TransactionMessage,
} from './observability/channels.ts'
export { type DatabaseCounters, databaseCounters } from './observability/counters.ts'
export type { Approvals } from './repositories/approvals/approvals.ts'
export {
  type Approval,
  type ApprovalInput,
  type ApprovalResponse,
  type ApprovalResponseInput,
  approvalInputSchema,
  approvalResponseSchema,
  type ListApprovalsOptions,
  type ListPendingOptions,
} from './repositories/approvals/types.ts'
export type { Checkpoints } from './repositories/checkpoints/checkpoints.ts'
export type {
  Checkpoint,
  CheckpointInput,
  CheckpointKey,
  CheckpointTask,
  CheckpointThread,
  CheckpointWrite,
  CheckpointWriteInput,
  ListCheckpointsOptions,
  PruneCheckpointsOptions,
  TypedBytes,
} from './repositories/checkpoints/types.ts'
export type {
  EmbedCall,
  EmbeddingModel,
  Recall,
  Recalled,
  RecalledMemory,
  RecalledMessage,
  RecallMemoriesOptions,
  RecallMessagesOptions,
  RecallMode,
  RecallOptions,
} from './repositories/embeddings/types.ts'
export {
  type AgentEvent,
  type EventInput,
  type Events,
  eventInputSchema,
  type FollowEventsOptions,
  type ListEventsOptions,
  type PruneEventsOptions,
} from './repositories/events.ts'
export type { EventsPage } from './repositories/events-page.ts'
export type { Kv } from './repositories/kv/kv.ts'
export type { KvReads } from './repositories/kv/reads.ts'
export {
  type ClearKeysOptions,
  type FindEntriesOptions,
  type KvEntry,
  type KvSetOptions,
  kvSetOptionsSchema,
  type ListKeysOptions,
  type ListNamespacesOptions,
  type LocatedEntry,
  type SetIfAbsentOptions,
} from './repositories/kv/types.ts'
export type { PropertyConditions, PropertyTests } from './repositories/kv/where.ts'
export type { ListListsOptions, Lists } from './repositories/lists/lists.ts'
export type { SessionLists } from './repositories/lists/session-lists.ts'
export type { ListChange, ListUpdate } from './repositories/lists/types.ts'
export type { Memories } from './repositories/memories/memories.ts'
export {
  type ListMemoriesOptions,
  type Memory,
  type MemoryInput,
  type MemoryMetadataInput,
  type MemoryPatch,
  memoryInputSchema,
  memoryPatchSchema,
} from './repositories/memories/types.ts'
export type { CountByDayOptions, MessagesByDay } from './repositories/messages/by-day-types.ts'
export type { Messages } from './repositories/messages/messages.ts'
export {
  type AroundOptions,
  type ImportedMessages,
  type ImportMessagesOptions,
  type IterateMessagesOptions,
  type ListMessagesOptions,
  type Message,
  type MessageContentInput,
  type MessageImport,
  type MessageInput,
  type MessagePartInput,
  type MessagePatch,
  type MessagePut,
  messageInputSchema,
  messagePatchSchema,
  type ReplaceMessagesOptions,
  type TruncateMessagesOptions,
} from './repositories/messages/types.ts'
export {
  type ListPromptsOptions,
  type Prompt,
  type PromptInput,
  type Prompts,
  promptInputSchema,
} from './repositories/prompts.ts'
export type { Queues } from './repositories/queues/queues.ts'
export {
  type ListQueueOptions,
  type ListQueuesOptions,
  type QueueItem,
  type QueueItemInput,
  type QueueLeaseOptions,
  type QueueSummary,
  queueItemSchema,
  type ReceiptResult,
  type TakenItem,
  type TakeQueueOptions,
} from './repositories/queues/types.ts'
export type { Repositories } from './repositories/repositories.ts'
export type {
  MemoryHit,
  MessageHit,
  SearchMemoriesOptions,
  SearchMessagesOptions,
  SearchOrder,
  SearchPage,
  SearchSessionsOptions,
  SessionHit,
  TextHit,
} from './repositories/search/types.ts'
export type { OperationOptions } from './repositories/sessions/operation-options.ts'
export type { Sessions } from './repositories/sessions/sessions.ts'
export {
  type ForkOptions,
  type ListSessionsOptions,
  type Session,
  type SessionInput,
  type SessionPatch,
  type SessionSummary,
  sessionInputSchema,
  sessionPatchSchema,
  type UpdateSessionOptions,
} from './repositories/sessions/types.ts'
export { toolExecutionId } from './repositories/tool-executions/execution-id.ts'
export type { ToolExecutions } from './repositories/tool-executions/tool-executions.ts'
export {
  type ListToolExecutionsOptions,
  type ToolExecution,
  type ToolExecutionIdentity,
  type ToolExecutionInput,
  type ToolExecutionStatus,
  toolExecutionInputSchema,
} from './repositories/tool-executions/types.ts'
export {
  type ListAllowedToolsOptions,
  type ToolPreferenceSet,
  type ToolPreferences,
  type ToolPreferencesInput,
  toolPreferencesInputSchema,
} from './repositories/tool-preferences.ts'
export type { ListToolStateKeysOptions, ToolState, ToolStateEntry } from './repositories/tool-state.ts'
export {
  type ListWorkspacesOptions,
  type Workspace,
  type WorkspaceInput,
  type Workspaces,
  workspaceInputSchema,
} from './repositories/workspaces.ts'
export type {
  ApprovalDecision,
  Given,
  Json,
  JsonObject,
  MemorySource,
  MessageContent,
  MessagePart,
  MessagePartType,
  MessageRole,
  MetadataPatch,
} from './schema/values.ts'
export type { Highlight } from './search/highlights.ts'
export type { Ranks } from './search/ranks.ts'
export type { Vector } from './search/vectors.ts'
export type { DatabaseDescription } from './storage/database-description.ts'
export { describeDatabase } from './storage/describe-database.ts'
export type { DatabaseStats, LayerHealth } from './storage/health.ts'
export { migrateStorage } from './storage/migrate-storage.ts'
export type { MigrateOptions, MigrationReport, SchemaMigration } from './storage/migration-report.ts'
export type {
  DiagnoseOptions,
  EmbedPendingOptions,
  EraseOptions,
  RebuildSearchOptions,
  RemoveEmbeddingsOptions,
  ScopeOptions,
  StorageOptions,
  TransactionOptions,
} from './storage/options.ts'
export type { EmbeddingStats, Erasure, SearchStats, StorageHealth, StorageStats } from './storage/reports.ts'
export type { PruneOptions, Pruning } from './storage/retention/types.ts'
export { checkRowLevelSecurity, disableRowLevelSecurity, enableRowLevelSecurity } from './storage/row-level-security.ts'
export { openStorage, openStorageFromFile } from './storage/storage.ts'
export type { StorageTransaction } from './storage/storage-transaction.ts'
export { copyStorage, importInto } from './storage/transfer.ts'
export type { ScopedBlobs, Storage, StorageScope } from './storage/types.ts'
export { toJson } from './validation/to-json.ts'
