/** An answer that is there at once where none has to be waited for: a promise costs as much as a short read. */
export type Reply<T> = T | Promise<T>
