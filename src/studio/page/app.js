/** @import { About, View } from './items.d.ts' */
import { get, owner, setOwner, takeToken } from './api.js'
import { approvals } from './approvals.js'
import { blobs } from './blobs.js'
import { configuration } from './configuration.js'
import { conversation } from './conversation.js'
import { address, announce, button, failure, h, link, state } from './elements.js'
import { events } from './events.js'
import { executions } from './executions.js'
import { memories } from './memories.js'
import { overview } from './overview.js'
import { queues } from './queues.js'
import { search } from './search.js'
import { sessions } from './sessions.js'

/** @type {Record<string, [title: string, page: (view: View) => Promise<Node>]>} */
const PAGES = {
  '': ['Overview', overview],
  sessions: ['Sessions', sessions],
  search: ['Search', search],
  memories: ['Memories', memories],
  events: ['Events', events],
  queues: ['Queues', queues],
  approvals: ['Approvals', approvals],
  executions: ['Tool executions', executions],
  blobs: ['Blobs', blobs],
  configuration: ['Configuration', configuration],
}

const main = /** @type {HTMLElement} */ (document.getElementById('main'))
const top_ = /** @type {HTMLElement} */ (document.getElementById('top'))
/** @type {About | undefined} */
let about
let current = new AbortController()

/** Returns the page that the address names. */
function asked() {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  return { path, given: new URLSearchParams(query) }
}

/** Shows the page that the address names. */
async function show({ focus = true } = {}) {
  takeToken()
  current.abort()
  current = new AbortController()
  const { signal } = current
  const { path, given } = asked()
  const [title, page] = path === 'session' ? ['Session', conversation] : (PAGES[path] ?? ['Not found', notFound])
  const waiting = setTimeout(() => main.replaceChildren(state('Loading…')), 150)
  try {
    about ??= /** @type {About} */ (await get('studio'))
    if (signal.aborted) return
    top_.replaceChildren(...navigation(path, given, about))
    const shown = await page({ given, owner: ownerOf(given), about, signal })
    if (signal.aborted) return
    main.replaceChildren(shown)
  } catch (error) {
    if (signal.aborted) return
    main.replaceChildren(failure(error, () => show()))
  } finally {
    clearTimeout(waiting)
  }
  document.title = `${main.querySelector('h1')?.textContent ?? title} · Holdfast Studio`
  announce(document.title)
  if (!focus) return
  if (!given.has('message')) scrollTo(0, 0)
  main.focus({ preventScroll: true })
}

async function notFound() {
  return h('div', {}, h('h1', {}, 'Not found'), state('Studio has no such page. ', link('', {}, 'Overview')))
}

/**
 * @param {string} path
 * @param {URLSearchParams} given
 * @param {About} known
 */
function navigation(path, given, known) {
  const place = path === 'session' ? 'sessions' : path
  const links = Object.entries(PAGES)
    .filter(([name]) => name !== 'search' || known.search)
    .map(([name, [title]]) => {
      const item = link(name, {}, title)
      if (name === place) item.setAttribute('aria-current', 'page')
      return h('li', {}, item)
    })
  const nav = h('nav', { id: 'pages', 'aria-label': 'Pages' }, h('ul', {}, ...links), ownerForm(path, given))
  const menu = button('Menu', () => {
    const isOpen = nav.classList.toggle('open')
    menu.setAttribute('aria-expanded', String(isOpen))
  })
  menu.className = 'menu'
  menu.setAttribute('aria-expanded', 'false')
  menu.setAttribute('aria-controls', 'pages')
  const name = h(
    'a',
    { class: 'name', href: '#/' },
    h('img', { src: 'icon.svg', alt: '', width: 22, height: 22 }),
    'Holdfast Studio',
  )
  return [h('div', { class: 'brand' }, name, menu), nav]
}

/**
 * Returns the owner whose data a page shows. An address names the owner of what others may have under the same id.
 * @param {URLSearchParams} given
 */
const ownerOf = (given) => given.get('owner') ?? owner()

/**
 * @param {string} path
 * @param {URLSearchParams} given
 */
function ownerForm(path, given) {
  const field = h('input', { name: 'owner', value: ownerOf(given), placeholder: 'everybody', autocomplete: 'off' })
  return h(
    'form',
    {
      class: 'owner',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        const id = field.value.trim()
        setOwner(id)
        if (given.has('owner')) location.hash = address(path, { ...Object.fromEntries(given), owner: id })
        else show()
      },
    },
    h('label', {}, 'Owner ', field),
    h('button', {}, 'Filter'),
  )
}

document.querySelector('.skip')?.addEventListener('click', (event) => {
  event.preventDefault() // its fragment would be taken for the address of a page
  main.focus()
})
addEventListener('hashchange', () => {
  if (takeToken()) about = undefined
  show()
})
document.addEventListener('keydown', (event) => {
  const { key, target } = event
  if (key !== '/' || (target instanceof HTMLElement && target.closest('input, textarea, select'))) return
  const field = main.querySelector('input[type=search]')
  if (!(field instanceof HTMLElement)) return
  event.preventDefault()
  field.focus()
})
show({ focus: false })
