import { approvalCases } from './approvals-contract.ts'
import { type ContractCase, contractCases, type OpenStorage } from './contract.ts'
import { crossRepositoryCases } from './cross-repository-contract.ts'
import { eventCases } from './events-contract.ts'
import { expiryCases } from './expiry-contract.ts'
import { forkCases } from './fork-contract.ts'
import { kvCases } from './kv-contract.ts'
import { listCases } from './lists-contract.ts'
import { memoryCases } from './memories-contract.ts'
import { messageChangeCases } from './message-changes-contract.ts'
import { messageCases } from './messages-contract.ts'
import { promptCases } from './prompts-contract.ts'
import { queueCases } from './queues-contract.ts'
import { sessionCases } from './sessions-contract.ts'
import { toolExecutionCases } from './tool-executions-contract.ts'
import { toolPreferenceCases } from './tool-preferences-contract.ts'
import { toolStateCases } from './tool-state-contract.ts'
import { transactionCases } from './transactions-contract.ts'
import { workspaceCases } from './workspaces-contract.ts'

/**
 * What every storage must do, whatever it is made of, as cases for any test runner:
 * `for (const { name, run } of repositoryContract(open)) it(name, run)`. `open` is called once a case, which closes what
 * it returns; storages may share one database, because each case uses ids of its own. Not two cases at the same time:
 * they turn their clocks, and what one lets expire another may sweep.
 */
export function repositoryContract(open: OpenStorage): ContractCase[] {
  return contractCases(open, {
    sessions: { ...sessionCases, ...forkCases },
    messages: { ...messageCases, ...messageChangeCases },
    kv: kvCases,
    lists: listCases,
    queues: queueCases,
    memories: memoryCases,
    events: eventCases,
    prompts: promptCases,
    workspaces: workspaceCases,
    toolState: toolStateCases,
    toolExecutions: toolExecutionCases,
    approvals: approvalCases,
    toolPreferences: toolPreferenceCases,
    storage: { ...expiryCases, ...transactionCases, ...crossRepositoryCases },
  })
}
