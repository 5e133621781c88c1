/** Answers every line of its input with a message. On `fail`, prints an error and ends with exit code 3. */
import { createInterface } from 'node:readline'
import { say } from '../say.ts'

console.log('not a message')
say({ ready: process.pid, args: process.argv.slice(2), word: process.env.WORD })
for await (const line of createInterface({ input: process.stdin })) {
  if (line === '"fail"') {
    console.error('told to fail')
    process.exit(3)
  }
  say({ echo: JSON.parse(line) })
}
