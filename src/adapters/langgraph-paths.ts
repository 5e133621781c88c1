/** Returns the parts of a path into a value, such as `chapters`, `[*]` and `title` of `chapters[*].title`. */
function tokensOf(path: string): string[] {
  return path.match(/\[[^\]]*\]?|\{[^}]*\}?|[^.[{]+/g) ?? []
}

/**
 * Returns the texts at a path of a value, as LangGraph's `InMemoryStore` finds them: `$` is the whole value, `[0]` and `[-1]` an
 * element, `[*]` each element, `*` each element or property, `{a,b.c}` several properties. Objects and lists become JSON.
 */
export function textsAt(value: unknown, path: string): string[] {
  return textsBelow(value, tokensOf(path), true)
}

function textsBelow(value: unknown, [token, ...rest]: string[], isStart: boolean): string[] {
  if (token === undefined) return textOf(value)
  if (isStart && token === '$') return textOf(value)
  if (token.startsWith('[')) return elementsAt(value, token.slice(1, -1)).flatMap((one) => textsBelow(one, rest, false))
  if (token.startsWith('{')) {
    const paths = token.slice(1, -1).split(',')
    const names = paths.map((path) => tokensOf(path.trim())).filter(({ length }) => length > 0)
    const found = names.map((own) => own.reduce(propertyOf, value))
    return found.flatMap((one) => (one === null ? ['null'] : textOf(one)))
  }
  const found = token === '*' && isObject(value) ? Object.values(value) : [propertyOf(value, token)]
  return found.flatMap((one) => (one === undefined ? [] : textsBelow(one, rest, false)))
}

function elementsAt(value: unknown, index: string): unknown[] {
  if (!Array.isArray(value)) return []
  if (index === '*') return value
  const at = Number.parseInt(index, 10)
  return Number.isNaN(at) || at >= value.length || at < -value.length ? [] : [value.at(at)]
}

function propertyOf(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function textOf(value: unknown): string[] {
  if (value === undefined || value === null) return []
  return [typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value)]
}
