import { attempt, button, h, jsonBlock } from './elements.js'
import { plain } from './formats.js'

/**
 * Makes a note that an item is not whole, with a button that shows all of it.
 * @param {number | undefined} size What the whole takes. Undefined if nothing was cut: then nothing is made.
 * @param {() => Promise<unknown>} load
 */
export function cutNote(size, load) {
  if (size === undefined) return undefined
  const place = h('div', { class: 'cut' })
  const show = () =>
    attempt(place, async () => {
      const whole = jsonBlock(await load())
      place.replaceChildren(whole)
      whole.focus({ preventScroll: true }) // the button that had the focus is gone
    })
  place.append(
    h('p', {}, `Only a part is shown: the whole has ${plain(size)} characters as JSON. `),
    button('Show the whole', show),
  )
  return place
}
