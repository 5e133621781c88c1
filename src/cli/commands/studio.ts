import { once } from 'node:events'
import type { Command } from '../command.ts'
import { EXIT, UsageError } from '../exit-codes.ts'

export const studio: Command = {
  name: 'studio',
  summary: 'Serves a page on 127.0.0.1 to look at what is stored, and prints its link.',
  details:
    'Whoever has the link sees everything; each start has a new one. An SQLite file is opened read-only. Ends with Ctrl-C.',
  options: [
    { name: 'port', value: 'N', summary: 'The port. Default 0: any free port.' },
    { name: 'write', summary: 'Lets the page answer approvals. Without it, the page changes nothing.' },
  ],
  needsBlobs: true,
  async run({ given, output, signal, open }) {
    const port = given.count('port', 0, 0)
    if (port > 65_535) throw new UsageError('--port must be a whole number from 0 to 65535')
    const write = given.flag('write')
    const storage = await open({ readonly: !write })
    const { startStudio } = await import('../../studio/index.ts') // no other command needs it
    const server = await startStudio(storage, { port, write })
    try {
      await output.print(server.url, { url: server.url, port: server.port, write })
      output.note('Whoever has this link sees everything that is stored. Ctrl-C ends Studio.')
      if (!signal.aborted) await once(signal, 'abort')
    } finally {
      await server.close()
    }
    return EXIT.ok
  },
}
