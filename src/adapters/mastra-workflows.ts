import { WorkflowsStorage } from '@mastra/core/storage'
import { StorageError } from '../errors.ts'

/** The states in which a run waits to be resumed. */
const WAITING = ['suspended', 'waiting', 'paused']

/** A run of a workflow that is to be stored. */
interface Snapshot {
  snapshot: { status: string }
}

/**
 * The domain `workflows` of a store that keeps no workflows. Mastra runs every call of an agent as a workflow: it looks for an
 * earlier run, and stores the new run. This domain has no run, and drops what it is given, since nobody can resume such a run. It
 * refuses a run that waits to be resumed.
 */
export class RefusedWorkflows extends WorkflowsStorage {
  supportsConcurrentUpdates(): boolean {
    return false
  }

  /**
   * Drops a run.
   *
   * @throws {INVALID_STATE} when the run waits to be resumed, since it would be lost
   */
  async persistWorkflowSnapshot({ snapshot }: Snapshot): Promise<void> {
    refuseWaiting(snapshot.status)
  }

  /**
   * Drops the state of a run.
   *
   * @throws {INVALID_STATE} when the run waits to be resumed, since it would be lost
   */
  async updateWorkflowState({ opts }: { opts: { status?: string } }): Promise<undefined> {
    refuseWaiting(opts.status)
  }

  async updateWorkflowResults(): Promise<Record<string, never>> {
    return {}
  }

  async loadWorkflowSnapshot(): Promise<null> {
    return null
  }

  async getWorkflowRunById(): Promise<null> {
    return null
  }

  async listWorkflowRuns(): Promise<{ runs: never[]; total: number }> {
    return { runs: [], total: 0 }
  }

  async deleteWorkflowRunById(): Promise<void> {}

  async dangerouslyClearAll(): Promise<void> {}
}

/**
 * The domain `workflowDefinitions` of a store that keeps no definitions of workflows. Mastra lists the definitions when its
 * workers start, and gets an empty list. A new definition is refused.
 */
export class RefusedDefinitions {
  async init(): Promise<void> {}

  async get(): Promise<null> {
    return null
  }

  async list(): Promise<{ definitions: never[]; total: number }> {
    return { definitions: [], total: 0 }
  }

  /**
   * Refuses a definition.
   *
   * @throws {INVALID_STATE} when it is called, since the definition would be lost
   */
  async upsert(): Promise<never> {
    throw refusal('workflowDefinitions', 'The workflow would be lost with this process. ')
  }

  async delete(): Promise<void> {}

  async dangerouslyClearAll(): Promise<void> {}
}

function refuseWaiting(status: string | undefined): void {
  if (status === undefined || !WAITING.includes(status)) return
  throw refusal('workflows', `The run is ${status}, and would be lost with this process. `)
}

/** Makes the error for a domain that the store does not have. */
export function refusal(domain: string, reason = ''): StorageError {
  const remedy = `new MastraCompositeStore({ id, default: others, domains: { memory: new HoldfastMemory(storage) } })`
  return new StorageError(
    'INVALID_STATE',
    `${reason}Holdfast has no domain ${domain} for Mastra: combine it with a store that has the domain, here named others: ${remedy}`,
  )
}
