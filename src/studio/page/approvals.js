/** @import { View, ApprovalItem } from './items.d.ts' */
import { get, post } from './api.js'
import { cutNote } from './cut.js'
import { address, announce, attempt, button, copyButton, h, jsonDetails, link, ofSession, state } from './elements.js'
import { inSession, ofOwner, time } from './formats.js'
import { pagedList } from './paged-list.js'
import { select } from './search.js'

/** @param {View} view */
export async function approvals({ given, owner, about, signal }) {
  const status = given.get('status') ?? 'pending'
  const session = given.get('session') ?? undefined
  const chosen = select('status', { pending: 'pending', responded: 'answered', all: 'all' }, status)
  chosen.addEventListener('change', () => {
    location.hash = address('approvals', { status: chosen.value, session, owner: given.get('owner') ?? undefined })
  })
  return h(
    'div',
    {},
    h('h1', {}, 'Approvals'),
    session !== undefined && ofSession({ id: session, owner }, link('approvals', { status }, 'all approvals')),
    h('div', { class: 'bar' }, h('label', {}, 'Show ', chosen)),
    !about.write && state('Studio was started without --write: approvals can be read, and not answered.'),
    pagedList({
      label: 'Approvals',
      load: (cursor) =>
        get('approvals', { status: status === 'all' ? undefined : status, session, cursor, owner }, signal),
      row: (approval, size) => approvalRow(approval, size, about.write),
      empty: status === 'pending' ? 'Nobody waits for an answer.' : 'There are no approvals here.',
    }),
  )
}

/**
 * @param {ApprovalItem} approval
 * @param {number | undefined} size
 * @param {boolean} canAnswer
 */
function approvalRow({ id, ownerId, sessionId, type, request, createdAt, response }, size, canAnswer) {
  const answer = h('div', {})
  /** @param {{ decision: string, data: unknown, respondedAt: string }} given */
  const answered = ({ decision, data, respondedAt }) => {
    answer.replaceChildren(
      h(
        'p',
        { class: 'facts', tabindex: -1 },
        h('span', { class: 'badge' }, h('bdi', {}, decision)),
        h('span', {}, 'answered ', time(respondedAt)),
      ),
      ...(data === null ? [] : [jsonDetails('Data of the answer', data)]),
    )
  }
  if (response !== null) answered(response)
  else if (canAnswer) {
    const form = answerForm({ id, owner: ownerId }, (given) => {
      answered(given)
      answer.querySelector('p')?.focus() // the button that had the focus is gone
    })
    answer.append(form)
  }
  return h(
    'div',
    {},
    h('div', { class: 'title' }, h('bdi', {}, type)),
    h(
      'p',
      { class: 'facts' },
      h('span', { class: 'badge' }, response === null ? 'pending' : 'answered'),
      h('span', {}, 'asked ', time(createdAt)),
      sessionId !== null && inSession({ sessionId, ownerId }),
      ofOwner(ownerId),
      copyButton(id),
    ),
    jsonDetails('Request', request, { open: response === null }),
    cutNote(size, () => get('approval', { id, owner: ownerId })),
    answer,
  )
}

/**
 * @param {{ id: string, owner: string }} approval
 * @param {(response: { decision: string, data: unknown, respondedAt: string }) => void} answered
 */
function answerForm(approval, answered) {
  const word = h('input', { name: 'decision', maxlength: 100, placeholder: 'another word' })
  const place = h('div', {})
  /** @param {string} decision */
  const send = (decision) =>
    attempt(place, async () => {
      const { status, response } = await post('approvals/respond', { ...approval, decision })
      answered(response)
      announce(status === 'created' ? 'Answered' : 'It was answered before') // perhaps by a try whose answer was lost
    })
  return h(
    'form',
    {
      class: 'bar',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        if (word.value !== '') send(word.value)
      },
    },
    button('Approve', () => send('approved'), { class: 'main' }),
    button('Deny', () => send('denied')),
    h('label', {}, 'or ', word),
    h('button', {}, 'Send'),
    place,
  )
}
