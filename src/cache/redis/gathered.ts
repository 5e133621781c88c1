/** Gathers the keys of one turn of the event loop, to send them in one command: a script costs more than its keys. */
export class Gathered<T> {
  readonly #send: (keys: readonly string[]) => Promise<T>
  #keys: string[] = []
  #answer: Promise<T> | undefined
  #resolve: (answer: Promise<T>) => void = () => {}

  /** `send` never rejects. */
  constructor(send: (keys: readonly string[]) => Promise<T>) {
    this.#send = send
  }

  /** Sends the keys when this turn ends, or at the next `flush`. Returns the answer to the command. */
  add(keys: readonly string[]): Promise<T> {
    for (const key of keys) this.#keys.push(key)
    this.#answer ??= new Promise((resolve) => {
      this.#resolve = resolve
      setImmediate(() => this.flush())
    })
    return this.#answer
  }

  /** Sends at once what was added. */
  flush(): void {
    if (this.#answer === undefined) return
    this.#answer = undefined
    this.#resolve(this.#send(this.#keys.splice(0)))
  }
}
