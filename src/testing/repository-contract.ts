import { approvalCases } from './approvals-contract.ts'
import { checkpointCases } from './checkpoints-contract.ts'
import { type ContractCase, contractCases, type OpenStorage } from './contract.ts'
import { crossRepositoryCases } from './cross-repository-contract.ts'
import { eventCases } from './events-contract.ts'
import { expiryCases } from './expiry-contract.ts'
import { forkCases } from './fork-contract.ts'
import { kvCases } from './kv-contract.ts'
import { kvNamespaceCases } from './kv-namespaces-contract.ts'
import { kvWhereCases } from './kv-where-contract.ts'
import { listCases } from './lists-contract.ts'
import { memoryCases } from './memories-contract.ts'
import { messageChangeCases } from './message-changes-contract.ts'
import { messageImportCases } from './message-imports-contract.ts'
import { messageReplacementCases } from './message-replacements-contract.ts'
import { messageCases } from './messages-contract.ts'
import { operationCases } from './operations-contract.ts'
import { promptCases } from './prompts-contract.ts'
import { queueLeaseCases } from './queue-leases-contract.ts'
import { queueCases } from './queues-contract.ts'
import { sessionEntryCases } from './session-entries-contract.ts'
import { sessionCases } from './sessions-contract.ts'
import { toolExecutionCases, toolExecutionIdCases } from './tool-executions-contract.ts'
import { toolPreferenceCases } from './tool-preferences-contract.ts'
import { toolStateCases } from './tool-state-contract.ts'
import { transactionCases } from './transactions-contract.ts'
import { workspaceCases } from './workspaces-contract.ts'

/**
 * Returns what every storage must do, on every database, as cases for any test runner. Each case calls `open` once and
 * closes the storage. The storages may share one database, since each case uses its own ids. Run one case at a time: cases
 * advance their clocks, so the maintenance of one case could remove what another case still uses.
 *
 * @example
 * ```ts
 * import { openStorage } from 'holdfast'
 * import { repositoryContract } from 'holdfast/testing'
 * for (const { name, run } of repositoryContract((options) => openStorage({}, options))) {
 *   if (name.startsWith('toolState.')) await run() // in a test runner: it(name, run)
 * }
 * ```
 */
export function repositoryContract(open: OpenStorage): ContractCase[] {
  return contractCases(open, {
    sessions: { ...sessionCases, ...forkCases },
    messages: { ...messageCases, ...messageChangeCases, ...messageReplacementCases, ...messageImportCases },
    kv: { ...kvCases, ...kvNamespaceCases, ...kvWhereCases },
    lists: listCases,
    queues: { ...queueCases, ...queueLeaseCases },
    memories: memoryCases,
    events: eventCases,
    prompts: promptCases,
    workspaces: workspaceCases,
    toolState: toolStateCases,
    toolExecutions: toolExecutionCases,
    'toolExecutionId()': toolExecutionIdCases,
    approvals: approvalCases,
    toolPreferences: toolPreferenceCases,
    checkpoints: checkpointCases,
    transactions: operationCases,
    storage: { ...expiryCases, ...sessionEntryCases, ...transactionCases, ...crossRepositoryCases },
  })
}
