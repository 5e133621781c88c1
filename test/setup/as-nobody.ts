/** Runs a call as a user without rights: root may read and write everything. */
export async function asNobody<T>(call: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65534)
  return call().finally(() => isRoot && process.seteuid?.(0))
}
