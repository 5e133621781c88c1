/** Returns the names of the methods of an object, those that its class inherits included. */
export function methodsOf(object: object): string[] {
  const names: string[] = []
  for (let at = Object.getPrototypeOf(object); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at).filter((name) => name !== 'constructor'))
  }
  return names
}
