/**
 * Makes an element. Children are elements or texts, and a text stays a text whatever is in it: this function and `svg` below
 * are the only makers of elements, and no attribute takes what is stored but for tooltips, labels and values.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} [attributes] Functions are listeners: `onclick`. False and undefined are left out.
 * @param {...(Node | string | number | false | null | undefined)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key.slice(2), /** @type {EventListener} */ (value))
    else if (value !== undefined && value !== false && value !== null) {
      element.setAttribute(key, value === true ? '' : String(value))
    }
  }
  append(element, children)
  return element
}

/**
 * Makes an element of SVG.
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  append(element, children)
  return element
}

/**
 * @param {Element} element
 * @param {(Node | string | number | false | null | undefined)[]} children
 */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    element.append(child instanceof Node ? child : String(child))
  }
}

/**
 * Makes a link to a page of Studio. No other link exists.
 * @param {string} page
 * @param {Record<string, string | undefined>} given
 * @param {...(Node | string)} children
 */
export function link(page, given, ...children) {
  return h('a', { href: address(page, given) }, ...children)
}

/**
 * Makes the line that says of which session a list is, with a link to the whole list.
 * @param {{ id: string, owner: string }} session
 * @param {Node} all
 */
export function ofSession(session, all) {
  return h('p', {}, 'Of the session ', link('session', session, h('bdi', {}, session.id)), ' · ', all)
}

/**
 * Returns the address of a page of Studio.
 * @param {string} page
 * @param {Record<string, string | undefined>} given
 */
export function address(page, given) {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(given)) if (value) parameters.set(name, value)
  return `#/${page}${parameters.size > 0 ? `?${parameters}` : ''}`
}

/**
 * Makes a button.
 * @param {string} label
 * @param {(event: Event) => unknown} onclick
 * @param {Record<string, unknown>} [attributes]
 */
export function button(label, onclick, attributes = {}) {
  return h('button', { type: 'button', onclick, ...attributes }, label)
}

/**
 * Makes a button that copies a text.
 * @param {string} text
 * @param {string} [what]
 */
export function copyButton(text, what = 'id') {
  const copying = button(`Copy ${what}`, async () => {
    try {
      await navigator.clipboard.writeText(text)
      copying.textContent = 'Copied'
    } catch {
      copying.textContent = 'Not allowed'
    }
    announce(copying.textContent)
    setTimeout(() => {
      copying.textContent = `Copy ${what}`
    }, 1500)
  })
  copying.className = 'quiet'
  copying.title = text
  return copying
}

/**
 * Makes JSON that is folded until somebody asks for it.
 * @param {Node | string} summary
 * @param {unknown} value
 * @param {{ open?: boolean }} [options]
 */
export function jsonDetails(summary, value, { open = false } = {}) {
  return h('details', { open }, h('summary', {}, summary), jsonBlock(value))
}

/**
 * Makes a block of JSON that can be scrolled with the keyboard.
 * @param {unknown} value
 */
export function jsonBlock(value) {
  const text = JSON.stringify(value, null, 2)
  return h('pre', { tabindex: 0, role: 'region', 'aria-label': 'JSON' }, text)
}

/**
 * Makes the sentence that stands where a list or a page would be.
 * @param {string} text
 * @param {...Node} more
 */
export function state(text, ...more) {
  return h('p', { class: 'state' }, text, ...more)
}

/**
 * Makes what is shown if something failed, and says what to do.
 * @param {unknown} error
 * @param {() => unknown} retry
 */
export function failure(error, retry) {
  const { code = 'UNEXPECTED', message } = /** @type {{ code?: string, message: string }} */ (error)
  return h(
    'div',
    { class: 'failure', role: 'alert' },
    h('p', {}, h('strong', {}, code), ' ', message),
    code !== 'UNAUTHORIZED' && button('Try again', retry),
  )
}

/**
 * Does what may fail. If it does, a place says why, and the work can be tried again.
 * @param {Element} place
 * @param {() => unknown} work
 */
export async function attempt(place, work) {
  try {
    await work()
  } catch (error) {
    const again = async () => {
      const loading = state('Loading…')
      place.replaceChildren(loading)
      await attempt(place, work)
      loading.remove()
    }
    place.replaceChildren(failure(error, again))
  }
}

/**
 * Tells a screen reader what has changed.
 * @param {string | null} text
 */
export function announce(text) {
  const announcer = document.getElementById('announcer')
  if (announcer) announcer.textContent = text
}
