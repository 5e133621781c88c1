import type { Storage, StorageScope } from 'holdfast'

/** What the assistant knows when it answers: what it has been told to remember, and what was said in other sessions. */
export interface Known {
  memories: string[]
  earlier: string[]
}

/** An assistant that remembers across sessions. A user's data are the user's alone. */
export class Assistant {
  readonly #user: StorageScope

  constructor(storage: Storage, userId: string) {
    this.#user = storage.scope({ ownerId: userId })
  }

  /** Keeps what the user has said, and returns what the model would be given with it. */
  async hear(sessionId: string, content: string): Promise<Known> {
    const known = await this.#recall(sessionId, content)
    await this.#user.messages.append(sessionId, { role: 'user', content })
    const [, fact] = /^remember that (.+)$/i.exec(content) ?? []
    if (fact !== undefined) await this.#user.memories.create({ content: fact, metadata: { source: 'user' } })
    return known
  }

  async #recall(sessionId: string, content: string): Promise<Known> {
    const memories = await this.#user.memories.recall(content, { limit: 3, minScore: 0.2 })
    const messages = await this.#user.messages.recall(content, { limit: 3, minScore: 0.2 })
    return {
      memories: memories.items.map(({ memory }) => memory.content),
      earlier: messages.items
        .filter(({ message }) => message.sessionId !== sessionId)
        .map(({ message }) => `${message.sessionId}: ${message.content}`),
    }
  }
}
