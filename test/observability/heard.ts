import { subscribe, unsubscribe } from 'node:diagnostics_channel'

const CHANNELS = ['operation', 'statement', 'transaction', 'cache', 'blob', 'maintenance'] as const
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

export type Channel = (typeof CHANNELS)[number]

/** A message as it was when its call had ended. */
export type Heard = { channel: Channel } & Record<string, unknown>

/** Listens to all channels, or to those given, while `work` runs. Returns the messages in the order of their ends. */
export async function heardDuring(
  work: () => unknown,
  channels: readonly Channel[] = CHANNELS,
): Promise<{ messages: Heard[]; events: string[] }> {
  const messages: Heard[] = []
  const events: string[] = []
  const listeners = channels.flatMap((channel) =>
    EVENTS.map((event) => ({
      name: `tracing:holdfast:${channel}:${event}`,
      listener: (message: unknown) => {
        events.push(`${channel} ${event}`)
        if (event === 'asyncEnd') messages.push({ channel, ...(message as object) })
      },
    })),
  )
  for (const { name, listener } of listeners) subscribe(name, listener)
  try {
    await work()
  } finally {
    for (const { name, listener } of listeners) unsubscribe(name, listener)
  }
  return { messages, events }
}
