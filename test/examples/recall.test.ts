import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { bundleProgram } from '../setup/bundle-program.ts'

test('the assistant recalls in one session what was said in another, and nothing of another user', async () => {
  const program = bundleProgram(join(import.meta.dirname, '../../examples/recall/demo.ts'))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program])
  expect(stderr).toBe('')
  expect(stdout).toBe(`ada, monday: Remember that I prefer window seats
ada, monday: The invoice from the hotel is wrong
ada, thursday: Which seats do I prefer?
  remembers: I prefer window seats
  said on monday: Remember that I prefer window seats
ada, thursday: What was wrong with the invoice from the hotel?
  said on monday: The invoice from the hotel is wrong
bob, thursday: Which seats do I prefer?
`)
})
