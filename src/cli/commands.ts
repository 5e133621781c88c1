import type { Command } from './command.ts'
import { backupCommand, copyCommand, exportCommand, importCommand } from './commands/archive.ts'
import { blobsGc, blobsGet, blobsLs, blobsPut, blobsVerify } from './commands/blobs.ts'
import { completionOf } from './commands/completion.ts'
import { doctor } from './commands/doctor.ts'
import { embeddingsPgvector, embeddingsRm } from './commands/embeddings.ts'
import { migrate, migrateStatus } from './commands/migrate.ts'
import { erase, prune } from './commands/removal.ts'
import { search } from './commands/search.ts'
import { securityCheck, securityDisable, securityEnable } from './commands/security.ts'
import { sessionsLs, sessionsRm, sessionsShow } from './commands/sessions.ts'
import { stats, status } from './commands/status.ts'
import { studio } from './commands/studio.ts'
import { tail } from './commands/tail.ts'

const STORAGE_COMMANDS: readonly Command[] = [
  status,
  doctor,
  migrate,
  migrateStatus,
  stats,
  studio,
  sessionsLs,
  sessionsShow,
  sessionsRm,
  search,
  embeddingsPgvector,
  embeddingsRm,
  tail,
  blobsLs,
  blobsGet,
  blobsPut,
  blobsVerify,
  blobsGc,
  exportCommand,
  importCommand,
  copyCommand,
  backupCommand,
  erase,
  prune,
  securityEnable,
  securityDisable,
  securityCheck,
]

/** Every command, in the order of help. */
export const COMMANDS: readonly Command[] = [...STORAGE_COMMANDS, completionOf(STORAGE_COMMANDS)]
