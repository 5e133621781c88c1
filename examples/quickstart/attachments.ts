import type { Storage } from 'holdfast'

const DOT =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='

/** Stores an image, a text file and the message that mentions both, in one transaction. Safe to repeat. */
export async function attachFiles(storage: Storage, sessionId: string, id: string): Promise<void> {
  await storage.transaction(async (tx) => {
    if (await tx.messages.get(sessionId, id)) return
    const image = await tx.blobs.put({ dataUri: DOT }, { name: 'dot.png', source: sessionId })
    const notes = await tx.blobs.put(Buffer.from('One red dot.\n'), { name: 'notes.txt', source: sessionId })
    const content = [
      { type: 'text', text: 'Here is a picture, and what is to be seen in it.' },
      { type: 'image', image: image.uri },
      { type: 'file', file: notes.uri },
    ]
    await tx.messages.append(sessionId, { id, role: 'user', content })
  })
}

/** Returns a line about each file that a message mentions. */
export async function describeFiles(storage: Storage, sessionId: string, id: string): Promise<string[]> {
  const message = await storage.messages.get(sessionId, id)
  const parts = Array.isArray(message?.content) ? message.content : []
  const references = parts.flatMap(({ image, file }) => [image, file]).filter((value) => typeof value === 'string')
  return Promise.all(
    references.map(async (reference) => {
      const record = await storage.blobs.get(reference)
      if (!record) return `${reference} is gone: this blob store is in memory`
      const bytes = await storage.blobs.bytes(reference) // checks the hash
      const shown = record.mimeType.startsWith('text/') ? `"${bytes.toString().trim()}"` : `${bytes.length} bytes`
      return `${record.name}, ${record.mimeType}: ${shown}`
    }),
  )
}
