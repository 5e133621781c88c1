/**
 * Returns a value that the process has once under a name, and makes it if there is none. A hot reload, or a loader that makes
 * CommonJS of a part of the package, evaluates a module twice: a variable of the module would then be two.
 */
export function processWide<T extends object>(name: string, make: () => T): T {
  const key = Symbol.for(`holdfast.${name}`)
  const known: T | undefined = Reflect.get(globalThis, key)
  if (known !== undefined) return known
  const made = make()
  Reflect.set(globalThis, key, made)
  return made
}
