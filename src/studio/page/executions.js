/** @import { View, ExecutionItem } from './items.d.ts' */
import { get } from './api.js'
import { cutNote } from './cut.js'
import { address, copyButton, h, jsonDetails, link } from './elements.js'
import { duration, ofOwner, short, time } from './formats.js'
import { pagedList } from './paged-list.js'
import { select } from './search.js'

/** @param {View} view */
export async function executions({ given, owner, signal }) {
  const [status, run] = [given.get('status') ?? undefined, given.get('run') ?? undefined]
  const states = { '': 'all', running: 'running', completed: 'completed', failed: 'failed', cancelled: 'cancelled' }
  const chosen = select('status', states, status)
  chosen.addEventListener('change', () => {
    location.hash = address('executions', { status: chosen.value, run })
  })
  return h(
    'div',
    {},
    h('h1', {}, 'Tool executions'),
    h('div', { class: 'bar' }, h('label', {}, 'Show ', chosen)),
    run !== undefined && h('p', {}, 'Of the run ', h('bdi', {}, run), ' · ', link('executions', {}, 'all runs')),
    pagedList({
      label: 'Tool executions',
      load: (cursor) => get('executions', { status, run, cursor, owner }, signal),
      row: executionRow,
      empty: 'There are no tool executions here.',
    }),
  )
}

/**
 * @param {ExecutionItem} execution
 * @param {number | undefined} size
 */
function executionRow(
  { executionId, ownerId, identity, toolName, input, status, output, error, startedAt, finishedAt },
  size,
) {
  const took = finishedAt === null ? undefined : Date.parse(finishedAt) - Date.parse(startedAt)
  return h(
    'div',
    {},
    h('div', { class: 'title' }, h('bdi', {}, toolName)),
    h(
      'p',
      { class: 'facts' },
      h('span', { class: `badge ${status}` }, status),
      h('span', {}, 'started ', time(startedAt)),
      took !== undefined && h('span', {}, `took ${duration(took)}`),
      h('span', {}, 'run ', link('executions', { run: identity.runId }, h('bdi', {}, short(identity.runId, 40)))),
      ofOwner(ownerId),
      copyButton(executionId),
    ),
    input !== null && jsonDetails('Input', input),
    output !== null && jsonDetails('Output', output),
    error !== null && jsonDetails(status === 'cancelled' ? 'Reason' : 'Error', error, { open: true }),
    jsonDetails('Identity', identity),
    cutNote(size, () => get('execution', { id: executionId, owner: ownerId })),
  )
}
