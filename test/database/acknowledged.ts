import type { Storage } from 'holdfast'

/** The message of a program about a write that was acknowledged. */
export interface Acknowledged {
  /** A pair of messages, appended in one call. */
  appended?: { session: string; id: string }
  /** The id of a message, a key and a list item, written in one transaction. */
  transaction?: string
  /** The last value of a key that counts up. */
  counted?: number
}

/**
 * Returns what the storage has lost or half written after the program `name` was killed, given the messages of the
 * program. Empty if nothing.
 */
export async function violations(storage: Storage, name: string, said: readonly Acknowledged[]): Promise<string[]> {
  return [
    ...(await violationsOfPairs(storage, said)),
    ...(await violationsOfTransactions(storage, said)),
    ...(await violationsOfCount(storage, name, said)),
  ]
}

async function violationsOfPairs(storage: Storage, said: readonly Acknowledged[]): Promise<string[]> {
  const found: string[] = []
  for (const session of ['one', 'two', 'transactions']) {
    const { ids, seqs } = await conversation(storage, session)
    for (const { appended } of said) {
      if (appended?.session === session && !ids.has(`${session} ${appended.id} a`)) found.push(`lost: ${appended.id}`)
    }
    for (const id of ids) {
      if (id.endsWith(' a') && !ids.has(`${id.slice(0, -1)}b`)) found.push(`half written: ${id}`)
    }
    if (seqs.some((seq, i) => seq !== i + 1)) found.push(`${session}: numbers are missing or occur twice`)
    const { messageCount = 0, lastSeq = 0 } = (await storage.sessions.summary(session)) ?? {}
    if (messageCount !== ids.size || lastSeq !== ids.size) {
      found.push(`${session}: ${ids.size} messages, counted ${messageCount}, last ${lastSeq}`)
    }
  }
  return found
}

async function violationsOfTransactions(storage: Storage, said: readonly Acknowledged[]): Promise<string[]> {
  const { ids } = await conversation(storage, 'transactions')
  const keys = new Set<string>()
  for (let cursor: string | undefined; ; ) {
    const page = await storage.kv.keys({ prefix: 'transaction ', limit: 1000, ...(cursor && { cursor }) })
    for (const key of page.items) keys.add(key.slice('transaction '.length))
    cursor = page.nextCursor
    if (cursor === undefined) break
  }
  const items = new Set<unknown>()
  const length = await storage.lists.length('transactions')
  for (let start = 0; start < length; start += 1000) {
    for (const item of await storage.lists.range('transactions', start, 1000)) items.add(item)
  }
  const all = new Set<unknown>([...ids, ...keys, ...items])
  return [
    ...[...all]
      .filter((id) => !(ids.has(`${id}`) && keys.has(`${id}`) && items.has(id)))
      .map((id) => `half done: ${id}`),
    ...said.flatMap(({ transaction }) =>
      transaction === undefined || all.has(transaction) ? [] : [`lost: ${transaction}`],
    ),
    ...(length === items.size ? [] : [`${items.size} items in a list of ${length}`]),
  ]
}

async function violationsOfCount(storage: Storage, name: string, said: readonly Acknowledged[]): Promise<string[]> {
  const counted = said.findLast((message) => message.counted !== undefined)?.counted ?? 0
  const stored = Number((await storage.kv.get(`count ${name}`)) ?? 0)
  // The next write may have been done without being acknowledged.
  return stored === counted || stored === counted + 1 ? [] : [`counted to ${counted}, but it is ${stored}`]
}

async function conversation(storage: Storage, session: string): Promise<{ ids: Set<string>; seqs: number[] }> {
  const ids = new Set<string>()
  const seqs: number[] = []
  for await (const { id, seq } of storage.messages.iterate(session)) {
    ids.add(id)
    seqs.push(seq)
  }
  return { ids, seqs }
}
