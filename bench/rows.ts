import { agentRows } from './agent.ts'
import { blobRows } from './blobs.ts'
import { bulkRows } from './bulk.ts'
import { cacheRows } from './cache.ts'
import { growthRows } from './growth.ts'
import { iterationRows } from './iteration.ts'
import { keyvRows } from './keyv.ts'
import { langgraphRows } from './langgraph.ts'
import { mastraRows } from './mastra.ts'
import { openingRows } from './opening.ts'
import { ownerRows } from './owners.ts'
import { postgresRows } from './postgres.ts'
import { recallRows } from './recall.ts'
import type { Row } from './row.ts'
import { searchRows } from './search.ts'
import { sqliteRows } from './sqlite.ts'
import { startRows } from './start.ts'
import { tracingRows } from './tracing.ts'

/** All rows, in the order of the table. */
export const rows: readonly Row[] = [
  ...sqliteRows,
  ...openingRows,
  ...startRows,
  ...postgresRows,
  ...growthRows,
  ...bulkRows,
  ...iterationRows,
  ...agentRows,
  ...ownerRows,
  ...searchRows,
  ...recallRows,
  ...tracingRows,
  ...cacheRows,
  ...blobRows,
  ...langgraphRows,
  ...keyvRows,
  ...mastraRows,
]
