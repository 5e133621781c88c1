import type { AgentEvent } from '../../index.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { OWNER } from '../options.ts'
import { inLine, printable, timeText } from '../text.ts'

export const tail: Command = {
  name: 'tail',
  summary: 'Prints the last events, and then those that come.',
  details: 'Ends with Ctrl-C.',
  options: [
    { name: 'session', value: 'ID', summary: 'Only events of this session.' },
    { name: 'run', value: 'ID', summary: 'Only events of this run.' },
    { name: 'type', value: 'TYPE', summary: 'Only events of this type.' },
    OWNER,
    { name: 'last', value: 'N', summary: 'How many of the events that there are to print: 1 to 1000. Default 10.' },
    { name: 'once', summary: 'Ends after the events that there are.' },
  ],
  async run({ given, output, signal, open }) {
    const limit = given.count('last', 10)
    const filters = {
      sessionId: given.text('session'),
      runId: given.text('run'),
      type: given.text('type'),
      ownerId: given.text('owner'),
    }
    const { events } = await open()
    const print = (event: AgentEvent) => output.print(eventText(event), event)
    const { items, nextCursor } = await events.list({ ...filters, order: 'desc', limit })
    if (given.flag('once')) {
      for (const event of items.toReversed()) await print(event)
      return EXIT.ok
    }
    // The cursor stands at the oldest of these events, and what follows it is all the others: none is missed or printed twice.
    const oldest = items.at(-1)
    if (nextCursor !== undefined && oldest) await print(oldest)
    for await (const page of events.follow({ ...filters, signal, cursor: nextCursor })) {
      for (const event of page.items) await print(event)
    }
    return EXIT.ok
  },
}

function eventText({ occurredAt, type, sessionId, runId, payload }: AgentEvent): string {
  const names = [sessionId, runId].flatMap((id) => (id === null ? [] : [inLine(id)]))
  return [timeText(occurredAt), printable(type), ...names, printable(JSON.stringify(payload))].join('  ')
}
